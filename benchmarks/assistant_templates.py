"""Arithmetic in words: templates to train on, and others that are held out.

Each is a question and, after `|`, the expression that answers it. `{a}`, `{b}` and `{c}` are
numbers, `{things}`, `{person}`, `{other}` (another person) and
`{place}` words. The held-out ones are other sentences of words
that mostly occur in the training's, as a person's questions would be.
"""

TRAINING = """\
What is {a} plus {b}?|{a} + {b}
How much is {a} minus {b}?|{a} - {b}
{a} times {b}?|{a} * {b}
Please divide {a} by {b}.|{a} / {b}
What does {a} divided by {b} make?|{a} / {b}
Add {a} and {b}.|{a} + {b}
Add {a} to {b}, please.|{a} + {b}
Subtract {a} from {b}.|{b} - {a}
Take {b} away from {a}.|{a} - {b}
Multiply {a} by {b} and add {c}.|{a} * {b} + {c}
Multiply {a} and {b}.|{a} * {b}
What is the product of {a} and {b}?|{a} * {b}
The sum of {a}, {b} and {c}?|{a} + {b} + {c}
What is the difference of {a} and {b}?|{a} - {b}
What is {a} percent of {b}?|{a} / 100 * {b}
How much is {a}% of {b}?|{a} / 100 * {b}
{person} gets {a} percent of {b} euros. How much is it?|{a} / 100 * {b}
What is half of {a}?|{a} / 2
What is twice {a}?|{a} * 2
What is a third of {a}?|{a} / 3
Double {a} and take away {b}.|{a} * 2 - {b}
Divide {a} by {b}, then add {c}.|{a} / {b} + {c}
Add {a} to {b} and subtract {c}.|{a} + {b} - {c}
I have {a} {things} and buy {b} more. How many are there?|{a} + {b}
{person} has {a} {things} and finds {b} more. How many now?|{a} + {b}
{person} had {a} {things} and lost {b}. How many are left?|{a} - {b}
I had {a} {things} and gave {b} to {other}. How many do I have now?|{a} - {b}
There were {a} {things} in {place}. {person} took {b}. How many remain?|{a} - {b}
There are {a} {things} in {place} and {b} more arrive. How many are there then?|{a} + {b}
There are {a} rows of {b} {things}. How many {things}?|{a} * {b}
{a} boxes hold {b} {things} each. How many {things} are there in all?|{a} * {b}
In {place} there are {a} shelves with {b} {things} on each. How many in all?|{a} * {b}
Every day {person} sells {a} {things}. How many in {b} days?|{a} * {b}
{person} buys {a} {things} for {b} euros each. What is the price?|{a} * {b}
One of the {things} costs {a} euros. What do {b} of them cost?|{a} * {b}
{person} pays {a} euros for {b} {things}. What does one cost?|{a} / {b}
{a} {things} cost {b} euros. What is the price of one?|{b} / {a}
A book costs {a} and I pay with {b}. What do I get back?|{b} - {a}
{person} pays {a} euros with a note of {b}. What is the change?|{b} - {a}
{person} earns {a} euros and spends {b}. What is left?|{a} - {b}
{person} earned {a} euros in May and {b} in June. How much altogether?|{a} + {b}
A coat costs {a} euros and a hat {b}. What do both cost together?|{a} + {b}
{person} wants a bike for {a} euros and has {b}. How much is missing?|{a} - {b}
Divide {a} {things} among {b} people.|{a} / {b}
{person} gives {a} {things} to {b} friends, the same to each. What does each get?|{a} / {b}
{a} {things} are put into {b} equal heaps. How large is a heap?|{a} / {b}
{a} people split a bill of {b} euros. What does each one pay?|{b} / {a}
How many tables for {b} people do {a} guests need?|{a} / {b}
How often does {b} go into {a}?|{a} / {b}
{person} reads {a} pages a day. How many pages in {b} days?|{a} * {b}
{person} reads {a} pages in {b} days. How many pages a day?|{a} / {b}
{person} read {a} of {b} pages. How many pages are left?|{b} - {a}
{person} is {a} years old and {b} years older than a sister. How old is she?|{a} - {b}
{person} is {a}. How old is {person} in {b} years?|{a} + {b}
It was {a} degrees and it is {b} degrees warmer now. How warm is it?|{a} + {b}
It was {a} degrees and then {b} degrees colder. How cold is it?|{a} - {b}
A train goes {a} miles in an hour. How far in {b} hours?|{a} * {b}
A train goes {a} miles in {b} hours. How many miles an hour?|{a} / {b}
We walked {a} miles on Monday and {b} on Sunday. How many miles altogether?|{a} + {b}
The way to {place} is {a} miles, and we have done {b}. How far is it still?|{a} - {b}
First we drove {a} miles, then {b}, and at last {c}. How far in all?|{a} + {b} + {c}
A bag weighs {a} kilos. What do {b} bags weigh?|{a} * {b}
{a} bags together weigh {b} kilos. What does one weigh?|{b} / {a}
A bag of {a} kilos and one of {b}: how heavy are they together?|{a} + {b}
One box weighs {a} kilos and another {b}. How much heavier is the first?|{a} - {b}
How much larger is {a} than {b}?|{a} - {b}
How much less is {a} than {b}?|{b} - {a}
{person} has {a} {things}, {other} has {b} more. How many has {other}?|{a} + {b}
{person} has {b} times as many {things} as I, and I have {a}. How many are that?|{a} * {b}
{a} and {b} and {c}, what is that together?|{a} + {b} + {c}
Count {a} {things} and {b} {things} together.|{a} + {b}
A room is {a} feet long and {b} feet wide. What is its area?|{a} * {b}
{person} plants {a} rows with {b} {things} in each row. How many are planted?|{a} * {b}
A week has 7 days. How many days are {a} weeks?|{a} * 7
How many hours are {a} days?|{a} * 24
How many minutes are {a} hours and {b} minutes?|{a} * 60 + {b}
{a} tickets at {b} euros and a fee of {c}: what is the whole price?|{a} * {b} + {c}
{person} buys {a} {things} for {b} euros each and has {c} euros. What is left?|{c} - {a} * {b}
A tank holds {a} litres and loses {b}. How many litres are in it?|{a} - {b}
{place} has {a} people, and {b} move away. How many live there now?|{a} - {b}
{a} {things} came on Monday, {b} on Sunday. How many came in all?|{a} + {b}
""".splitlines()

HELD_OUT = """\
Share {a} among {b} friends.|{a} / {b}
How much more is {a} than {b}?|{a} - {b}
We drove {a} miles and then {b} miles. How far?|{a} + {b}
Each of {a} boxes weighs {b} kilos. How heavy are they?|{a} * {b}
Please add {a}, {b} and {c}.|{a} + {b} + {c}
What do you get when you subtract {b} from {a}?|{a} - {b}
{person} bought {a} {things} and then {b} more. How many altogether?|{a} + {b}
{person} had {a} {things} and sold {b} of them. How many remain?|{a} - {b}
{a} shelves hold {b} {things} each. How many {things}?|{a} * {b}
{person} has {a} {things} for {b} people. How many does each get?|{a} / {b}
A hat costs {a} euros. What do {b} hats cost?|{a} * {b}
I pay {a} euros with {b}. How much do I get back?|{b} - {a}
What is {a} percent of {b} {things}?|{a} / 100 * {b}
{person} walks {a} miles every day. How many miles in {b} days?|{a} * {b}
Multiply {a} by {b}, then subtract {c}.|{a} * {b} - {c}
{a} {things} were in {place}, then {b} more came. How many are there now?|{a} + {b}
""".splitlines()

# fmt: off
THINGS = (
    "apples", "pears", "books", "chairs", "stamps", "coins", "eggs", "pens", "plates", "cups",
    "flowers", "trees", "cards", "shirts", "bottles", "marbles", "keys", "stones", "letters",
    "tickets", "lamps", "birds", "horses", "boats", "melons",
)

PERSONS = (
    "Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jack", "Kate",
    "Leo", "Maria", "Nick", "Olga", "Paul", "Rosa", "Sam", "Tina", "Vera",
)
# fmt: on

PLACES = (
    *("the garden", "the box", "the shop", "the school", "the library", "the town"),
    *("the village", "the kitchen", "the barn", "the market"),
)
