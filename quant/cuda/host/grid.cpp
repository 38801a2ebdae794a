// grid: runs the kernels on the processor; see on_host.h.
#include "async_on_host.h"
#include "on_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { WARP = 32, MAX_THREADS = 1024, STACK_BYTES = 128 << 10, MAX_SHARED = 256 << 10 };
enum thread_state { READY, AT_BARRIER, AT_WARP_OP, DONE };

struct coroutine {
    void        *sp;            // saved stack pointer while it waits
    uint8_t     *stack;
    thread_state state;
    host_warp_op op;
    uint64_t     value;
    dim3         tid;
};

struct machine {                // the one multiprocessor
    std::vector<coroutine> threads;
    std::vector<uint64_t>  seen;            // [n_threads]: what each lane of a warp gave to the last exchange
    void              *scheduler_sp;
    int                current;
    const host_kernel *kernel;
    void             **args;
    unsigned           order;
    alignas(256) uint8_t shared[MAX_SHARED];
} m;

[[noreturn]] void die(const char *what)
{
    fprintf(stderr, "kernel on the host: block (%u, %u, %u) of (%u, %u, %u), thread %d of %zu: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, gridDim.x,
            gridDim.y, gridDim.z, m.current, m.threads.size(), what);
    abort();
}

#if defined(__x86_64__)
// Keeps the callee-saved registers on the stack that is left, takes them from the one that is entered.
extern "C" void host_switch(void **save_sp, void *load_sp);
asm(".text\n.globl host_switch\n.hidden host_switch\n.type host_switch, @function\nhost_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
    ".size host_switch, .-host_switch\n");

void thread_main();

void prepare(coroutine &c)
{
    // As if host_switch had been called at the head of thread_main: six registers, its address, and above it the slot where a caller's
    // address would be, which leaves the stack aligned as the ABI wants it at a function's entry.
    void **top = (void **)(c.stack + STACK_BYTES);
    *--top = nullptr;
    *--top = (void *)thread_main;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    c.sp = top;
}
#else
#include <ucontext.h>
void thread_main();
struct saved { ucontext_t u; };
extern "C" void host_switch(void **save_sp, void *load_sp)
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

void wait_as(thread_state s)
{
    coroutine &c = m.threads[(size_t)m.current];
    c.state = s;
    host_switch(&c.sp, m.scheduler_sp);
}

void thread_main()
{
    m.kernel->call(m.args);
    host_copies_end();
    wait_as(DONE);
    die("a finished thread went on");
}

void resume(int i)
{
    m.current = i;
    threadIdx = m.threads[(size_t)i].tid;
    host_switch(&m.scheduler_sp, m.threads[(size_t)i].sp);
}

// A warp whose lanes have all met: everybody's value becomes visible and all go on. Lanes that ended or wait elsewhere: not yet.
bool release_warp(size_t first)
{
    for (size_t i = first; i < first + WARP; i++)
        if (m.threads[i].state != AT_WARP_OP) return false;
    for (size_t i = first; i < first + WARP; i++) {
        if (m.threads[i].op != m.threads[first].op) die("lanes of one warp meet in different operations");
        m.seen[i] = m.threads[i].value;
        m.threads[i].state = READY;
    }
    return true;
}

bool release_block()
{
    for (coroutine &c : m.threads)
        if (c.state != AT_BARRIER) return false;
    for (coroutine &c : m.threads) c.state = READY;
    return true;
}

// The i-th of n in the chosen order.
size_t turn(size_t i, size_t n)
{
    if (m.order == 0) return i;
    if (m.order == 1) return n - 1 - i;
    size_t step = 2 * (size_t)m.order + 1;          // coprime to n: a permutation
    for (size_t a = n, b = step % n; ; step += 2, a = n, b = step % n) {
        while (b) { const size_t t = a % b; a = b; b = t; }
        if (a == 1) break;
    }
    return (i * step + m.order) % n;
}

// Lets the threads of a warp go on: each to where it meets others; in odd orders the warp as far as it can without the rest of the block, so that
// what a missing barrier would let it do too early is done too early.
bool run_warp(size_t first, size_t *left)
{
    bool moved = false;
    do
        for (size_t i = 0; i < WARP; i++) {
            const size_t t = first + turn(i, WARP);
            if (m.threads[t].state != READY) continue;
            resume((int)t);
            moved = true;
            if (m.threads[t].state == DONE) (*left)--;
        }
    while (release_warp(first) && m.order % 2 == 1);
    return moved;
}

void run_block()
{
    const size_t n = m.threads.size();
    for (coroutine &c : m.threads) { prepare(c); c.state = READY; }
    for (size_t left = n; left > 0;) {
        bool moved = false;
        for (size_t w = 0; w < n / WARP; w++) moved |= run_warp(turn(w, n / WARP) * WARP, &left);
        if (left == n) moved |= release_block();
        if (!moved && left > 0) die("threads wait for others that never come (a barrier or warp operation that not all reach)");
    }
}

}  // namespace

void host_sync_threads() { wait_as(AT_BARRIER); }

const uint64_t *host_warp_exchange(host_warp_op kind, uint32_t mask, uint64_t value)
{
    if (mask != 0xffffffffu) die("a warp operation of less than the whole warp");
    coroutine &c = m.threads[(size_t)m.current];
    c.op = kind;
    c.value = value;
    wait_as(AT_WARP_OP);
    return &m.seen[(size_t)m.current / WARP * WARP];
}

void *host_shared() { return m.shared; }
void host_set_order(unsigned order) { m.order = order; }

void host_run_grid(const host_kernel *k, dim3 grid, dim3 block, void **args, size_t shared_bytes)
{
    const size_t n = (size_t)block.x * block.y * block.z;
    gridDim = grid;
    blockDim = block;
    m.kernel = k;
    m.args = args;
    if (n == 0 || n > MAX_THREADS || n % WARP != 0) die("threads of a block: expected a multiple of 32, 1024 at most");
    if (shared_bytes > MAX_SHARED) die("shared memory: more than any device has");
    while (m.threads.size() > n) {
        munmap(m.threads.back().stack, STACK_BYTES);
        m.threads.pop_back();
    }
    while (m.threads.size() < n) {
        void *stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) die("no memory for a stack");
        m.threads.push_back({ nullptr, (uint8_t *)stack, READY, HOST_SYNC_WARP, 0, { 0, 0, 0 } });
    }
    m.seen.resize(n);
    for (size_t i = 0; i < n; i++)
        m.threads[i].tid = { (unsigned)(i % block.x), (unsigned)(i / block.x % block.y), (unsigned)(i / block.x / block.y) };
    const size_t n_blocks = (size_t)grid.x * grid.y * grid.z;
    for (size_t i = 0; i < n_blocks; i++) {
        const size_t b = turn(i, n_blocks);
        blockIdx = { (unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / grid.x / grid.y) };
        memset(m.shared, 0xff, shared_bytes);       // a NaN wherever nothing was written
        run_block();
    }
}
