// grid: runs the kernels on the processor; see on_host.h and grid.h.
#include "async_on_host.h"
#include "grid.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { WARP = 32, MAX_THREADS = 1024, STACK_BYTES = 128 << 10, MAX_SHARED = 256 << 10 };
enum thread_state { READY, AT_BARRIER, AT_WARP_OP, AT_PREVIOUS, DONE };

struct coroutine {
    void        *sp;            // saved stack pointer while it waits
    uint8_t     *stack;
    thread_state state;
    int          n_previous;    // calls of after_previous
    unsigned     n_exchanges;   // calls of host_warp_exchange
    dim3         tid;
};

struct meeting {                // of a warp
    unsigned     n;             // lanes that have come
    host_warp_op op;            // for what
};

struct machine {                // a multiprocessor, and the launch it runs block by block
    std::vector<coroutine> threads;         // n of them in use
    // [2][n]: what each lane gave to an exchange. Two, because a lane may come to the next one before the others have
    // read this one; no lane comes further before all others have.
    std::vector<uint64_t>  seen;
    std::vector<meeting>   meetings;        // [n / WARP]
    std::vector<size_t>    warp_turn;       // [n / WARP]: the warps in the chosen order
    unsigned           warp_turn_order;     // for which order that is
    size_t             n, left;             // threads of a block; those of this block that have not ended
    size_t             at_barrier;          // those that wait there
    size_t             first;               // of the warp whose lanes take turns
    int                place;               // whose turn it is, in lane_turn
    void              *scheduler_sp;
    int                current;
    bool               alone;               // the launches before it have ended: after_previous does not wait
    host_launch        launch;
    std::vector<void *> args;
    dim3               block_idx;
    alignas(256) uint8_t shared[MAX_SHARED];
};

// Two: the first block of a launch waits in one while the launch before it runs in the other.
machine machines[2], *m = machines;         // m: whose threads run
machine *waiting;                           // its launch has started and not ended; nullptr: none
unsigned order;
uint8_t lane_turn[WARP];                    // the lanes of a warp in the chosen order
bool lane_turn_known;
int64_t overlapped;

[[noreturn]] void die(const char *what)
{
    fprintf(stderr, "kernel on the host: block (%u, %u, %u) of (%u, %u, %u), thread %d of %zu: %s\nin %s\n",
            blockIdx.x, blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z,
            m->current, m->n, what, m->launch.kernel->name);
    abort();
}

#if defined(__x86_64__)
// Leaves one stack for another. Inlined and without a call: a return to another place than the last call's costs a
// processor as much as twenty instructions, and this is what tests spend most of their time on. The compiler saves the
// registers that it needs; the two that it does not give away are pushed, below the 128 bytes that a function may use
// without having moved the stack pointer.
inline __attribute__((always_inline)) void host_switch(void **save_sp, void *load_sp)
{
    asm volatile("leaq -128(%%rsp), %%rsp\n\tpushq %%rbp\n\tpushq %%rbx\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\t"
                 "movq %%rsp, (%%rdi)\n\tmovq %%rsi, %%rsp\n\tpopq %%rax\n\tjmp *%%rax\n"
                 "1:\tpopq %%rbx\n\tpopq %%rbp\n\tleaq 128(%%rsp), %%rsp"
                 : "+D"(save_sp), "+S"(load_sp)
                 :
                 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
                   "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                   "xmm14", "xmm15", "memory", "cc");
}

void thread_main();

void prepare(coroutine &c)
{
    // Where to go on: at the head of thread_main; above it the slot where a caller's address would be, which leaves the
    // stack aligned as the ABI wants it at a function's entry.
    void **top = (void **)(c.stack + STACK_BYTES);
    *--top = nullptr;
    *--top = (void *)thread_main;
    c.sp = top;
}
#else
#include <ucontext.h>
void thread_main();
struct saved { ucontext_t u; };
void host_switch(void **save_sp, void *load_sp)
{
    if (!*save_sp) *save_sp = new saved;
    swapcontext(&((saved *)*save_sp)->u, &((saved *)load_sp)->u);
}
void prepare(coroutine &c)
{
    if (!c.sp) c.sp = new saved;
    ucontext_t *u = &((saved *)c.sp)->u;
    getcontext(u);
    u->uc_stack.ss_sp = c.stack;
    u->uc_stack.ss_size = STACK_BYTES;
    u->uc_link = nullptr;
    makecontext(u, thread_main, 0);
}
#endif

coroutine &current() { return m->threads[(size_t)m->current]; }

// The next lane of this pass over a warp that can go on, as the current thread; nullptr: there is none.
inline coroutine *next_lane()
{
    while (++m->place < WARP) {
        const size_t t = m->first + lane_turn[m->place];
        if (m->threads[t].state != READY) continue;
        m->current = (int)t;
        threadIdx = m->threads[t].tid;
        return &m->threads[t];
    }
    return nullptr;
}

// A thread that waits gives its turn to the next lane itself: half as many switches as by way of the scheduler.
inline void wait_as(thread_state s)
{
    coroutine &c = current();
    c.state = s;
    coroutine *next = next_lane();
    host_switch(&c.sp, next ? next->sp : m->scheduler_sp);
}

void thread_main()
{
    m->launch.kernel->call(m->args.data());
    host_copies_end();
    if (current().n_previous == 0) die("a thread ends and has not called after_previous");
    m->left--;
    wait_as(DONE);
    die("a finished thread went on");
}

// A warp whose lanes have all met goes on. Where some ended or wait elsewhere: not yet.
bool release_warp(size_t first)
{
    meeting &w = m->meetings[first / WARP];
    if (w.n < WARP) return false;
    w.n = 0;
    for (size_t i = first; i < first + WARP; i++) m->threads[i].state = READY;
    return true;
}

bool release_block()
{
    if (m->at_barrier < m->n) return false;
    m->at_barrier = 0;
    for (size_t i = 0; i < m->n; i++) m->threads[i].state = READY;
    return true;
}

// The i-th of n in the chosen order.
size_t turn(size_t i, size_t n)
{
    if (order == 0) return i;
    if (order == 1) return n - 1 - i;
    size_t step = 2 * (size_t)order + 1;            // coprime to n: a permutation
    for (size_t a = n, b = step % n; ; step += 2, a = n, b = step % n) {
        while (b) { const size_t t = a % b; a = b; b = t; }
        if (a == 1) break;
    }
    return (i * step + order) % n;
}

// Both orders, written down once: turn() divides.
void write_down_turns()
{
    if (!lane_turn_known) {
        for (size_t i = 0; i < WARP; i++) lane_turn[i] = (uint8_t)turn(i, WARP);
        lane_turn_known = true;
    }
    const size_t n_warps = m->n / WARP;
    if (m->warp_turn.size() == n_warps && m->warp_turn_order == order) return;
    m->warp_turn.resize(n_warps);
    for (size_t i = 0; i < n_warps; i++) m->warp_turn[i] = turn(i, n_warps);
    m->warp_turn_order = order;
}

// Lets the threads of a warp go on: each to where it meets others; in odd orders the warp as far as it can without the
// rest of the block, so that what a missing barrier would let it do too early is done too early.
bool run_warp(size_t first)
{
    bool moved = false;
    do {
        m->first = first;
        m->place = -1;
        coroutine *c = next_lane();
        if (!c) continue;
        moved = true;
        host_switch(&m->scheduler_sp, c->sp);       // comes back when the last lane of this pass waits
    } while (release_warp(first) && order % 2 == 1);
    return moved;
}

bool somebody_at_previous()
{
    for (size_t i = 0; i < m->n; i++)
        if (m->threads[i].state == AT_PREVIOUS) return true;
    return false;
}

// Lets the threads of the block go on until all have ended, or all that can are in after_previous.
void go_on()
{
    while (m->left > 0) {
        bool moved = false;
        for (size_t w : m->warp_turn) moved |= run_warp(w * WARP);
        moved |= release_block();
        if (moved) continue;
        if (somebody_at_previous()) return;
        die("threads wait for others that never come (a barrier or warp operation that not all reach)");
    }
}

// The built-in variables are those of machine x from here on.
void enter(machine *x)
{
    m = x;
    gridDim = x->launch.grid;
    blockDim = x->launch.block;
    blockIdx = x->block_idx;
}

size_t n_blocks() { return (size_t)gridDim.x * gridDim.y * gridDim.z; }

// The i-th block in the chosen order, as far as it can go.
void begin_block(size_t i)
{
    const size_t b = turn(i, n_blocks());
    m->block_idx = blockIdx = {
        (unsigned)(b % gridDim.x), (unsigned)(b / gridDim.x % gridDim.y), (unsigned)(b / gridDim.x / gridDim.y)
    };
    memset(m->shared, 0xff, m->launch.shared_bytes);        // a NaN wherever nothing was written
    for (size_t t = 0; t < m->n; t++) {
        prepare(m->threads[t]);
        m->threads[t].state = READY;
        m->threads[t].n_previous = 0;
        m->threads[t].n_exchanges = 0;
    }
    m->left = m->n;
    m->at_barrier = 0;
    m->meetings.assign(m->n / WARP, { 0, HOST_SYNC_WARP });
    go_on();
}

void need_threads(size_t n, dim3 block)
{
    if (n == 0 || n > MAX_THREADS || n % WARP != 0) die("threads of a block: expected a multiple of 32, 1024 at most");
    while (m->threads.size() < n) {
        void *stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) die("no memory for a stack");
        m->threads.push_back({ nullptr, (uint8_t *)stack, READY, 0, 0, { 0, 0, 0 } });
    }
    m->n = n;
    m->seen.resize(2 * n);
    write_down_turns();
    for (size_t i = 0; i < n; i++) {
        m->threads[i].tid = {
            (unsigned)(i % block.x), (unsigned)(i / block.x % block.y), (unsigned)(i / block.x / block.y)
        };
    }
}

// The first block up to after_previous.
void start(machine *x, host_launch l)
{
    x->launch = std::move(l);
    x->args.clear();
    for (std::vector<uint8_t> &a : x->launch.args) x->args.push_back(a.data());
    x->alone = false;
    enter(x);
    need_threads((size_t)blockDim.x * blockDim.y * blockDim.z, blockDim);
    if (x->launch.shared_bytes > MAX_SHARED) die("shared memory: more than any device has");
    begin_block(0);
}

// The rest of the first block, then the others.
void finish(machine *x)
{
    enter(x);
    x->alone = true;
    for (size_t i = 0; i < x->n; i++)
        if (x->threads[i].state == AT_PREVIOUS) x->threads[i].state = READY;
    go_on();
    for (size_t i = 1; i < n_blocks(); i++) begin_block(i);
}

}  // namespace

int host_machine() { return (int)(m - machines); }

void host_sync_threads()
{
    m->at_barrier++;
    wait_as(AT_BARRIER);
}

void host_after_previous()
{
    if (current().n_previous++ > 0) die("a thread calls after_previous a second time");
    if (!m->alone) wait_as(AT_PREVIOUS);
}

const uint64_t *host_warp_exchange(host_warp_op kind, uint32_t mask, uint64_t value)
{
    if (mask != 0xffffffffu) die("a warp operation of less than the whole warp");
    const size_t i = (size_t)m->current, first = i / WARP * WARP;
    meeting &w = m->meetings[i / WARP];
    if (w.n == 0) w.op = kind;
    else if (w.op != kind) die("lanes of one warp meet in different operations");
    w.n++;
    uint64_t *seen = m->seen.data() + m->threads[i].n_exchanges++ % 2 * m->n;
    seen[i] = value;
    wait_as(AT_WARP_OP);
    return seen + first;
}

void *host_shared() { return m->shared; }
int64_t host_overlapped() { return overlapped; }

void host_set_order(unsigned o)
{
    host_drain();
    order = o;
    lane_turn_known = false;
}

void host_enqueue(host_launch l)
{
    if (!l.overlap) host_drain();
    overlapped += waiting != nullptr;
    machine *next = waiting == &machines[0] ? &machines[1] : &machines[0];
    start(next, std::move(l));
    host_drain();
    waiting = next;
}

void host_drain()
{
    machine *x = waiting;
    waiting = nullptr;
    if (x) finish(x);
}
