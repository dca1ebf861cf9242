/* threads.c - the only file that knows about threads.
 *
 * The calling thread works too. Every worker has a share of its own, tasks that follow each other, because neighbours
 * have inputs in common that lie packed in its scratch memory; whoever has done its share goes on with the others', so a
 * helper that the system does not run delays nothing but the task it holds. Helpers join a job under the mutex and only
 * while it is open; when the caller finds no task left it closes the job and waits only for those inside. A second Python
 * thread that calls while the pool is busy runs its job alone instead of waiting. Helpers look for the next job for some
 * microseconds and then sleep. Nothing is pinned.
 *
 * After fork() the child has no helpers: the atfork handler forgets them and starts anew. Nothing is locked before the
 * fork, because the forking thread may hold the interpreter lock that a running job's interrupt hook waits for; that
 * is safe since the child rebuilds every field.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum {
    SPINS = 4000,                    /* looks for a next job before sleeping: 20 to 50 us ... */
    LOOKS = 64,                      /* ... so many of them before the core is offered to others */
    INTERRUPT_PERIOD_NS = 30000000,  /* between two calls of the interrupt hook */
    MOST_SHARES = 32                 /* more workers have shares together */
};

struct share {
    _Alignas(64) atomic_int_fast64_t next;
    int64_t end;
};

struct job {
    fc_task run;
    void *data;
    int64_t tasks;
    int shares;                      /* of `share` that are in use */
    struct share share[MOST_SHARES];
    atomic_int stop;
    int64_t asked;                   /* when the hook was last called, by the caller alone */
};

static struct {
    pthread_mutex_t busy;            /* held by the thread whose job runs */
    pthread_mutex_t mutex;           /* guards all below */
    pthread_cond_t wake, left;
    atomic_uint generation;          /* number of jobs so far; helpers look at it without the mutex */
    struct job *job;                 /* open job or NULL */
    int helpers;                     /* threads that exist */
    int sleeping;
    int joined, wanted;              /* helpers that have joined the job; at most so many may */
    int inside;                      /* those that have not left it yet */
} pool = {
    .busy = PTHREAD_MUTEX_INITIALIZER, .mutex = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER, .left = PTHREAD_COND_INITIALIZER,
};

static atomic_uintptr_t interrupt_hook;
static _Thread_local struct job *current;     /* the job this thread works on */
static _Thread_local int is_caller;

void fc_set_interrupt(int (*hook)(void)) { atomic_store(&interrupt_hook, (uintptr_t)hook); }

/* The coarse clock advances every few milliseconds, often enough for the interrupt hook, and costs a quarter. */
#ifdef CLOCK_MONOTONIC_COARSE
enum { CLOCK = CLOCK_MONOTONIC_COARSE };
#else
enum { CLOCK = CLOCK_MONOTONIC };
#endif

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

int fc_stopping(void)
{
    struct job *job = current;
    if (!job) return 0;
    int (*hook)(void) = (int (*)(void))atomic_load(&interrupt_hook);
    if (is_caller && hook) {
        const int64_t now = now_ns();
        if (now - job->asked > INTERRUPT_PERIOD_NS) {
            if (hook()) atomic_store(&job->stop, 1);
            job->asked = now_ns();
        }
    }
    return atomic_load_explicit(&job->stop, memory_order_relaxed);
}

static void cut_shares(struct job *job, int workers)
{
    job->shares = workers < MOST_SHARES ? workers : MOST_SHARES;
    const int64_t each = job->tasks / job->shares, more = job->tasks % job->shares;
    int64_t first = 0;
    for (int i = 0; i < job->shares; i++) {
        atomic_init(&job->share[i].next, first);
        first += each + (i < more);
        job->share[i].end = first;
    }
}

/* The next task of the worker's own share, or else of another one; -1 if none is left. */
static int64_t take_task(struct job *job, int worker)
{
    for (int i = 0; i < job->shares; i++) {
        struct share *s = &job->share[(worker + i) % job->shares];
        if (atomic_load_explicit(&s->next, memory_order_relaxed) >= s->end) continue;
        const int64_t task = atomic_fetch_add(&s->next, 1);
        if (task < s->end) return task;
    }
    return -1;
}

static void work(struct job *job, int worker)
{
    struct job *outer = current;
    const int outer_caller = is_caller;
    current = job;
    is_caller = worker == 0;
    while (!fc_stopping()) {
        const int64_t task = take_task(job, worker);
        if (task < 0) break;
        job->run(job->data, task, worker);
    }
    current = outer;
    is_caller = outer_caller;
}

/* Waits until the generation differs from `seen`: briefly by looking, then asleep. Returns with the mutex held. */
static void await_job(unsigned seen)
{
    for (int i = 0; i < SPINS && atomic_load_explicit(&pool.generation, memory_order_acquire) == seen; i++) {
        if (i % LOOKS) relax();
        else sched_yield();    /* to the caller, where another process leaves both only one core */
    }
    pthread_mutex_lock(&pool.mutex);
    while (atomic_load(&pool.generation) == seen) {
        pool.sleeping++;
        pthread_cond_wait(&pool.wake, &pool.mutex);
        pool.sleeping--;
    }
}

static void *helper(void *unused)
{
    (void)unused;
    unsigned seen = 0;
    for (;;) {
        await_job(seen);
        seen = atomic_load(&pool.generation);
        struct job *job = pool.job;
        if (job && pool.joined < pool.wanted) {
            const int worker = ++pool.joined;
            pool.inside++;
            pthread_mutex_unlock(&pool.mutex);
            work(job, worker);
            pthread_mutex_lock(&pool.mutex);
            if (--pool.inside == 0) pthread_cond_signal(&pool.left);
        }
        pthread_mutex_unlock(&pool.mutex);
    }
    return NULL;
}

static void forget_helpers(void)
{
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.left, NULL);
    atomic_store(&pool.generation, 0);
    pool.job = NULL;
    pool.helpers = pool.sleeping = pool.joined = pool.wanted = pool.inside = 0;
}

static void register_fork_handler(void) { pthread_atfork(NULL, NULL, forget_helpers); }

/* Brings the pool to `count` helpers, or as many as the system grants. Signals stay with the caller's threads. */
static void add_helpers(int count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.helpers < count) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, helper, NULL)) break;
        pthread_detach(thread);
        pool.helpers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void open_job(struct job *job, int helpers)
{
    pthread_mutex_lock(&pool.mutex);
    if (pool.helpers < helpers) add_helpers(helpers);
    pool.job = job;
    pool.joined = 0;
    pool.wanted = helpers;
    atomic_fetch_add_explicit(&pool.generation, 1, memory_order_release);
    if (pool.sleeping) pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.mutex);
}

static void close_job(void)
{
    pthread_mutex_lock(&pool.mutex);
    pool.job = NULL;
    while (pool.inside) pthread_cond_wait(&pool.left, &pool.mutex);
    pthread_mutex_unlock(&pool.mutex);
}

fc_status fc_parallel(fc_task run, void *data, int64_t tasks, int threads)
{
    struct job job;
    job.run = run;
    job.data = data;
    job.tasks = tasks;
    job.asked = now_ns();
    atomic_init(&job.stop, 0);
    const int workers = (int)(tasks < threads ? tasks : threads);
    const int together = workers > 1 && !pthread_mutex_trylock(&pool.busy);
    cut_shares(&job, together ? workers : 1);
    if (together) open_job(&job, workers - 1);
    work(&job, 0);
    if (together) {
        close_job();
        pthread_mutex_unlock(&pool.busy);
    }
    return atomic_load(&job.stop) ? FC_INTERRUPTED : FC_OK;
}
