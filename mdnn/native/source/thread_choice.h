/* The number of threads that was fastest lately. */

/* One thread or all: whichever took less time per step lately. Another program on the same cores
 * makes threads wait for each other for milliseconds; results are the same either way. */
typedef struct {
    double seconds[2];     /* per step, of one thread and of all; 0: not measured */
    int many, trial, until_trial, pause;
} thread_choice;

enum { TRIAL_STEPS = 2, FIRST_PAUSE = 32, LONGEST_PAUSE = 2048 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Sets the threads of the next step; tries the other number now and then. */
static void choose_threads(thread_choice *c, pool *p) {
    if (p->threads == 1) return;
    if (!c->pause) {
        c->pause = FIRST_PAUSE;
        c->many = 1;
        c->trial = TRIAL_STEPS;
        c->until_trial = TRIAL_STEPS;
    }
    if (c->until_trial > 0) c->until_trial--;
    else if (c->trial > 0) c->trial--;
    int trying = c->until_trial == 0 && c->trial > 0;
    p->active = (trying ? !c->many : c->many) ? p->threads : 1;
}

static void measured(thread_choice *c, pool *p, double seconds) {
    if (p->threads == 1) return;
    int many = p->active > 1, trying = many != c->many;
    double *own = c->seconds + many;
    /* The fastest of a trial; later a mean that follows changes. */
    if (*own == 0 || (trying && seconds < *own)) *own = seconds;
    else if (!trying) *own += 0.2 * (seconds - *own);
    if (!trying || c->trial > 1) return;
    int better = c->seconds[1] < 0.95 * c->seconds[0];
    c->pause = better == c->many ? 2 * c->pause : FIRST_PAUSE;
    if (c->pause > LONGEST_PAUSE) c->pause = LONGEST_PAUSE;
    c->many = better;
    c->until_trial = c->pause;
    c->trial = TRIAL_STEPS + 1;
    c->seconds[!c->many] = 0;
}
