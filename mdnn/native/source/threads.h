/* A few threads that share the work of one operation; they wait actively between operations. */
#ifndef MDNN_THREADS_H
#define MDNN_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

typedef void (*work_function)(void *context, int number, int threads);

typedef struct pool {
    int threads, started, active;   /* active: 1 or all, the threads that share work */
    atomic_uint generation, finished;
    atomic_int stopping, asleep;
    work_function work;
    void *context;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t *thread;
    struct worker { struct pool *pool; int number; } *worker;
} pool;

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum { SPINS = 1000, YIELDS = 10 };

/* Waits until the generation differs from `seen`: first actively, then asleep. */
static unsigned next_generation(pool *p, unsigned seen) {
    unsigned now;
    for (int k = 0; k < SPINS + YIELDS; k++) {
        now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen) return now;
        if (k < SPINS) pause_briefly();
        else sched_yield();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->asleep, 1);
    while ((now = atomic_load(&p->generation)) == seen) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->mutex);
    return now;
}

static void *worker_loop(void *argument) {
    struct worker *self = argument;
    pool *p = self->pool;
    unsigned seen = 0;
    for (;;) {
        seen = next_generation(p, seen);
        if (atomic_load(&p->stopping)) return NULL;
        p->work(p->context, self->number, p->threads);
        atomic_fetch_add_explicit(&p->finished, 1, memory_order_release);
    }
}

/* Calls work(context, number, threads) once in each thread, this one among them. */
static void parallel(pool *p, work_function work, void *context) {
    if (p->active == 1) {
        work(context, 0, 1);
        return;
    }
    p->work = work;
    p->context = context;
    atomic_store_explicit(&p->finished, 0, memory_order_relaxed);
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->asleep)) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
    work(context, 0, p->threads);
    unsigned others = p->threads - 1;
    for (int k = 0; atomic_load_explicit(&p->finished, memory_order_acquire) < others; k++) {
        if (k < SPINS) pause_briefly();
        else sched_yield();
    }
}

static void pool_stop(pool *p) {
    atomic_store(&p->stopping, 1);
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->generation, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    for (int k = 0; k < p->started; k++) pthread_join(p->thread[k], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p->thread);
    free(p->worker);
    free(p);
}

/* Returns a pool, of fewer threads if the system starts no more; NULL without memory. */
static pool *pool_new(int threads) {
    pool *p = calloc(1, sizeof(pool));
    if (!p) return NULL;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->thread = calloc(threads, sizeof(pthread_t));
    p->worker = calloc(threads, sizeof(struct worker));
    if (!p->thread || !p->worker) {
        pool_stop(p);
        return NULL;
    }
    /* Set before a worker reads it: workers read it after the first generation. */
    for (int k = 0; k + 1 < threads; k++) {
        p->worker[k] = (struct worker){p, k + 1};
        if (pthread_create(p->thread + k, NULL, worker_loop, p->worker + k)) break;
        p->started++;
    }
    p->threads = p->active = p->started + 1;
    return p;
}

#endif
