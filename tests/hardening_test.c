// Proves what CMakeLists.txt asks the compiler for: the built program is read as the file that it is (System V ABI,
// ELF-64).
#define _GNU_SOURCE
#include "suite.h"
#include "formats/file_map.h"
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static file_map program;

// n records of `size` bytes at offset off, all of them in the file.
static const void *at(uint64_t off, uint64_t n, uint64_t size)
{
    ck_assert_uint_le(off, (uint64_t)program.size);
    ck_assert_uint_le(n, ((uint64_t)program.size - off) / size);
    return program.data + off;
}

static const Elf64_Ehdr *header(void) { return at(0, 1, sizeof(Elf64_Ehdr)); }

static const Elf64_Phdr *segment(uint32_t type, int skip)
{
    const Elf64_Phdr *p = at(header()->e_phoff, header()->e_phnum, sizeof *p);
    for (int i = 0; i < header()->e_phnum; i++)
        if (p[i].p_type == type && skip-- == 0) return &p[i];
    return NULL;
}

// Entry `tag` of the dynamic section; false: it is not there.
static bool dynamic(int64_t tag, uint64_t *value)
{
    const Elf64_Phdr *p = segment(PT_DYNAMIC, 0);
    ck_assert_ptr_nonnull(p);
    const Elf64_Dyn *d = at(p->p_offset, p->p_filesz / sizeof *d, sizeof *d);
    for (uint64_t i = 0; i < p->p_filesz / sizeof *d && d[i].d_tag != DT_NULL; i++)
        if (d[i].d_tag == tag) { *value = d[i].d_un.d_val; return true; }
    return false;
}

// Is there a dynamic symbol whose name begins and ends so?
static bool calls(const char *begins, const char *ends)
{
    const Elf64_Shdr *s = at(header()->e_shoff, header()->e_shnum, sizeof *s);
    for (int i = 0; i < header()->e_shnum; i++) {
        if (s[i].sh_type != SHT_DYNSYM) continue;
        ck_assert_uint_lt(s[i].sh_link, header()->e_shnum);
        const Elf64_Shdr *names = &s[s[i].sh_link];
        const Elf64_Sym  *sym = at(s[i].sh_offset, s[i].sh_size / sizeof *sym, sizeof *sym);
        const char       *text = at(names->sh_offset, names->sh_size, 1);
        for (uint64_t k = 0; k < s[i].sh_size / sizeof *sym; k++) {
            const char  *name = text + sym[k].st_name;
            ck_assert_uint_lt(sym[k].st_name, names->sh_size);
            const size_t n = strnlen(name, names->sh_size - sym[k].st_name), b = strlen(begins), e = strlen(ends);
            if (n >= b + e && memcmp(name, begins, b) == 0 && memcmp(name + n - e, ends, e) == 0) return true;
        }
    }
    return false;
}

START_TEST(it_lies_at_a_random_address)
{
    uint64_t flags = 0;
    ck_assert_int_eq(header()->e_type, ET_DYN);
    ck_assert_ptr_nonnull(segment(PT_INTERP, 0));           // a program, not a library
    ck_assert(dynamic(DT_FLAGS_1, &flags) && (flags & DF_1_PIE));
    ck_assert_msg(!dynamic(DT_TEXTREL, &flags), "code that is written to when it is loaded");
}
END_TEST

START_TEST(tables_of_calls_cannot_be_written)
{
    uint64_t flags = 0;
    ck_assert_ptr_nonnull(segment(PT_GNU_RELRO, 0));
    ck_assert((dynamic(DT_FLAGS, &flags) && (flags & DF_BIND_NOW)) || dynamic(DT_BIND_NOW, &flags));
    ck_assert(dynamic(DT_FLAGS_1, &flags) && (flags & DF_1_NOW));
}
END_TEST

START_TEST(no_memory_is_both_written_and_run)
{
    const Elf64_Phdr *stack = segment(PT_GNU_STACK, 0), *p;
    ck_assert_ptr_nonnull(stack);
    ck_assert_uint_eq(stack->p_flags & PF_X, 0);
    for (int i = 0; (p = segment(PT_LOAD, i)) != NULL; i++) ck_assert((p->p_flags & (PF_W | PF_X)) != (PF_W | PF_X));
}
END_TEST

START_TEST(stacks_and_copies_are_checked)
{
    ck_assert(calls("__stack_chk_fail", ""));
#if defined(SANITIZED) || defined(UNOPTIMISED)
    printf("SKIP checked copies: this build has none\n");
#else
    ck_assert_msg(calls("__", "_chk"), "no call of a checked function of the C library: _FORTIFY_SOURCE had no effect");
#endif
}
END_TEST

// -fstack-clash-protection touches each page of a large frame: "or qword [rsp], 0" as gcc does it, "mov qword [rsp], 0"
// as clang does.
START_TEST(large_frames_are_touched_page_by_page)
{
#if defined(__x86_64__)
    static const uint8_t gcc[] = { 0x48, 0x83, 0x0c, 0x24, 0x00 }, clang[] = { 0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0 };
    const Elf64_Phdr *p;
    int found = 0;
    for (int i = 0; (p = segment(PT_LOAD, i)) != NULL; i++) {
        if (!(p->p_flags & PF_X)) continue;
        const void *code = at(p->p_offset, p->p_filesz, 1);
        found += memmem(code, p->p_filesz, gcc, sizeof gcc) || memmem(code, p->p_filesz, clang, sizeof clang);
    }
    ck_assert_int_gt(found, 0);
#else
    printf("SKIP large frames: the instructions are known for x86-64 only\n");
#endif
}
END_TEST

static void open_program(void)
{
    err e = { 0 };
    ck_assert_msg(file_map_open(&program, PROGRAM, &e), "%s", e.msg);
    ck_assert_int_ge(program.size, (int64_t)sizeof(Elf64_Ehdr));
    ck_assert(memcmp(program.data, ELFMAG, SELFMAG) == 0 && program.data[EI_CLASS] == ELFCLASS64);
}

static void close_program(void) { file_map_close(&program); }

int main(void)
{
    Suite *s = suite_create("hardening");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, open_program, close_program);
    tcase_add_test(t, it_lies_at_a_random_address);
    tcase_add_test(t, tables_of_calls_cannot_be_written);
    tcase_add_test(t, no_memory_is_both_written_and_run);
    tcase_add_test(t, stacks_and_copies_are_checked);
    tcase_add_test(t, large_frames_are_touched_page_by_page);
    suite_add_tcase(s, t);
    return run_suite(s);
}
