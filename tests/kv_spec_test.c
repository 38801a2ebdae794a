// Proves runtime/kv_spec.h: what parses, what is refused and where, the canonical text, which rule a layer has, and
// what a cache costs.
#include "runtime/kv_spec.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(texts)
{
    static const struct { const char *text, *canonical; } rows[] = {
        { "q8_0", "q8_0" },
        { "iq4_nl", "iq4_nl" },
        { "k=q8_0,v=q4_0", "k=q8_0,v=q4_0" },
        { "k=f16,v=f16", "f16" },
        { "*:bf16", "bf16" },
        { "sliding:q4_0;full:bf16", "sliding:q4_0;full:bf16" },
        { "layers 0-5,29:bf16;*:q4_0", "layers 0-5,29:bf16;*:q4_0" },
        { "layers 7-7:k=q5_1,v=q4_1;full:q5_0;*:f32", "layers 7:k=q5_1,v=q4_1;full:q5_0;*:f32" },
        { "q4_0:rot", "q4_0:rot" },
        { "q4_0:rot64", "q4_0:rot64" },
        { "q4_0:norot", "q4_0" },
        { "bf16:rot", "bf16:rot" },
        { "kivi2", "kivi2:g32:r128" },
        { "kivi4:g64", "kivi4:g64:r128" },
        { "kivi4:r64", "kivi4:g32:r64" },
        { "kivi4:rot", "kivi4:g32:r128:rot" },
        { "kivi2:g8:r65536:rot64", "kivi2:g8:r65536:rot64" },
        { "k=kivi2:g32:r128,v=q4_0:rot", "k=kivi2:g32:r128,v=q4_0:rot" },
        { "k=q4_0:rot,v=q4_0:rot", "q4_0:rot" },
        { "k=q4_0:rot,v=q4_0", "k=q4_0:rot,v=q4_0" },
        { "q4_0+sink4+recent64", "q4_0+sink4+recent64" },
        { "k=q8_0,v=q4_0:rot+recent7", "k=q8_0,v=q4_0:rot+recent7" },
        { "kivi2+sink65536", "kivi2:g32:r128+sink65536" },
        { "sliding:q4_0:rot+sink1;full:kivi4", "sliding:q4_0:rot+sink1;full:kivi4:g32:r128" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err     e = { 0 };
        kv_spec s, again;
        char    text[KV_TEXT], twice[KV_TEXT];
        ck_assert_msg(kv_spec_parse(&s, rows[i].text, &e), "%s", e.msg);
        kv_spec_text(&s, text);
        ck_assert_str_eq(text, rows[i].canonical);
        ck_assert(kv_spec_parse(&again, text, &e));
        kv_spec_text(&again, twice);
        ck_assert_str_eq(text, twice);
    }
}
END_TEST

START_TEST(refused)
{
    static const struct { const char *text, *at; } rows[] = {
        { "", "at ''" },
        { "q8", "at 'q8'" },
        { "q8_0;", "at ''" },
        { "q8_0,q4_0", "at ',q4_0'" },
        { "k=q8_0", "',v=' and a type" },
        { "k=q8_0,v=", "at ''" },
        { "sliding", "':' and a type" },
        { "layers :f16", "number of a layer" },
        { "layers 5-3:f16", "goes up" },
        { "layers 99999999999999999999:f16", "number of a layer" },
        { "full:q4_0 ;*:f16", "at 'q4_0 ;*:f16'" },
        { "Q8_0", "at 'Q8_0'" },
        { "*:", "at ''" },
        { "q4_0x", "at 'q4_0x'" },
        { "q4_0:", "at ':': expected ':rot', ':rot64', ':norot'" },
        { "q4_0:rotate", "at 'ate'" },
        { "q4_0:g32", "at ':g32'" },
        { "q4_0:rot:rot", "at ':rot': expected" },
        { "kivi2:g4", "at '4': expected a group of 8 to 256" },
        { "kivi2:g257", "at '257'" },
        { "kivi2:g", "at ''" },
        { "kivi2:r64:g32", "at ':g32': expected ':g32', ':r128'" },
        { "kivi2:g32:r100", "at ':r100': expected ':r' and a multiple of the group" },
        { "kivi2:g32:r0", "at '0': expected 1 to 65536" },
        { "kivi2:g48", "at '': expected ':r' and a multiple of the group" },
        { "kivi4:g32:r65568", "at '65568'" },
        { "kivi4:rot:g32", "at ':g32'" },
        { "kivi2+recent64", "at '+recent64': expected no recent positions" },
        { "k=q4_0,v=kivi4+sink4+recent64", "at '+recent64'" },
        { "q4_0+sink", "at ''" },
        { "q4_0+sink0", "at '0'" },
        { "q4_0+sink65537", "at '65537'" },
        { "q4_0+recent64+sink4", "at '+sink4': expected '+sink4', then '+recent64'" },
        { "q4_0+sink4+sink4", "at '+sink4'" },
        { "q4_0+", "at '+'" },
        { "k=q4_0+sink4,v=q4_0", "',v=' and a type" },
        { "q4_0+sink-1", "at '-1'" },
        { "q4_0+recent99999999999999999999", "at '9999" },
        { "kivi3", "at 'kivi3'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err     e = { 0 };
        kv_spec s;
        ck_assert_msg(!kv_spec_parse(&s, rows[i].text, &e), "'%s' was taken", rows[i].text);
        ck_assert_int_eq(e.kind, ERR_USAGE);
        ck_assert_msg(strstr(e.msg, rows[i].at) != NULL, "'%s': %s", rows[i].text, e.msg);
    }
    // Of words that are too long to repeat the place is still shown.
    static char blanks[3000];
    err far = { 0 };
    kv_spec none;
    memset(blanks, 'q', sizeof blanks - 1);
    ck_assert(!kv_spec_parse(&none, blanks, &far) && strstr(far.msg, "expected f32, bf16"));
    char many[8 * KV_RULES] = "f16";
    for (int i = 0; i < KV_RULES; i++) strcat(many, ";f16");
    err     e = { 0 };
    kv_spec s;
    ck_assert(!kv_spec_parse(&s, many, &e) && strstr(e.msg, "fewer rules"));
}
END_TEST

// A rule for the keys and values of each of 128 layers is read and written; rules whose text would not fit are refused.
START_TEST(many_rules)
{
    static char text[KV_TEXT * 4], canonical[KV_TEXT];
    static kv_spec s;
    for (int longer = 0; longer < 2; longer++) {
        err e = { 0 };
        text[0] = 0;
        for (int i = 0; i < KV_RULES; i++)
            sprintf(text + strlen(text), "%slayers %d:k=q4_0,v=%s", i ? ";" : "", i, longer ? "kivi2:g32:r128:rot64"
                    : "q5_1");
        ck_assert_int_eq(kv_spec_parse(&s, text, &e), !longer);
        if (longer) ck_assert_msg(strstr(e.msg, "less than 4096") != NULL, "%s", e.msg);
        ck_assert_int_eq(kv_spec_text(&s, canonical), !longer);
        if (!longer) ck_assert_str_eq(canonical, text);
    }
}
END_TEST

// What a type's own groups are, and that one choice for everything is written as such.
START_TEST(of_a_type)
{
    char text[KV_TEXT];
    const kv_spec kivi = kv_spec_of(KV_KIVI4), q8_0 = kv_spec_of(KV_Q8_0);
    ck_assert(kv_spec_text(&kivi, text));
    ck_assert_str_eq(text, "kivi4:g32:r128");
    ck_assert(kv_spec_text(&q8_0, text));
    ck_assert_str_eq(text, "q8_0");
    ck_assert(!kv_choice_same(&kivi.rules[0].choice, &q8_0.rules[0].choice));
}
END_TEST

// Layers: sliding, sliding, full, sliding (shares 1), full with a head of 48.
static hparams five(layer_shape l[5])
{
    for (int i = 0; i < 5; i++)
        l[i] = (layer_shape){
            .sliding = i != 2 && i != 4, .n_kv_head = 2, .head_dim = 64, .has_kv = i != 3, .kv_source = i == 3 ? 1 : i
        };
    l[4].head_dim = 48;
    return (hparams){ .n_layer = 5, .n_head = 4, .window = 8, .layers = l };
}

START_TEST(rules)
{
    static const struct { const char *text; kv_type k[5], v[5]; } rows[] = {
        { "f16", { KV_F16, KV_F16, KV_F16, KV_F16, KV_F16 }, { KV_F16, KV_F16, KV_F16, KV_F16, KV_F16 } },
        { "sliding:k=q8_0,v=q4_0;full:bf16", { KV_Q8_0, KV_Q8_0, KV_BF16, KV_Q8_0, KV_BF16 },
          { KV_Q4_0, KV_Q4_0, KV_BF16, KV_Q4_0, KV_BF16 } },
        { "layers 0,4:f32;sliding:q5_1;*:f16", { KV_F32, KV_Q5_1, KV_F16, KV_Q5_1, KV_F32 },
          { KV_F32, KV_Q5_1, KV_F16, KV_Q5_1, KV_F32 } },
    };
    layer_shape l[5];
    const hparams h = five(l);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        err     e = { 0 };
        kv_spec s;
        ck_assert(kv_spec_parse(&s, rows[r].text, &e) && kv_spec_check(&s, &h, &e));
        for (int i = 0; i < 5; i++) {
            kv_choice c;
            ck_assert(kv_spec_choose(&s, &h, i, &c, &e));
            ck_assert_int_eq(c.k.type, rows[r].k[i]);
            ck_assert_int_eq(c.v.type, rows[r].v[i]);
        }
    }
    static const struct { const char *text, *says; } unfit[] = {
        { "q8_0", "do not divide a head of 48 (layer 4)" },
        { "sliding:f16", "no rule fits layer 2 (full)" },
        { "layers 5:f16;*:f32", "found layer 5, expected at most 4" },
        { "sliding:f32;full:k=f16,v=q4_1", "Q4_1" },
        { "sliding:q4_0:rot;full:f16:rot", "f16:rot: 64 does not divide a head of 48 (layer 4)" },
        { "kivi2", "groups of 32 do not divide a head of 48 (layer 4)" },
    };
    for (size_t r = 0; r < sizeof unfit / sizeof *unfit; r++) {
        err     e = { 0 };
        kv_spec s;
        ck_assert(kv_spec_parse(&s, unfit[r].text, &e));
        ck_assert(!kv_spec_check(&s, &h, &e));
        ck_assert_int_eq(e.kind, ERR_USAGE);
        ck_assert_msg(strstr(e.msg, unfit[r].says) != NULL, "%s: %s", unfit[r].text, e.msg);
    }
}
END_TEST

// A sliding layer keeps 8 + 4 - 1 = 11 positions, a full one 100; keys and values of 128 elements, in the last layer of
// 96.
START_TEST(costs)
{
    layer_shape l[5];
    const hparams h = five(l);
    memory_plan p;
    err     e = { 0 };
    kv_spec s;
    ck_assert(kv_spec_parse(&s, "sliding:k=q8_0,v=q4_0;*:bf16", &e)
              && memory_plan_of(&p, &h, &s, ARITH_F32, 100, 4, &e));
    const int64_t sliding = 11 * (4 * 34 + 4 * 18), full = 100 * 2 * 128 * 2, last = 100 * 2 * 96 * 2;
    ck_assert_int_eq(p.kv_bytes, 2 * sliding + full + last);
    ck_assert_int_eq(p.kv_bytes_unshared, 3 * sliding + full + last);
    ck_assert_int_eq(p.n_kv_layers, 4);
    ck_assert(p.position_bytes == 2 * (4 * 34 + 4 * 18) + 2 * 128 * 2 + 2 * 96 * 2);
    ck_assert_int_eq(p.kv_bytes_plain, 3 * 100 * (4 * 34 + 4 * 18) + full + last);
    ck_assert(!memory_plan_of(&p, &h, &s, ARITH_F32, INT64_MAX / 2, 4, &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    // KIVI's keys in groups of 16: 100 positions are in 7 groups; a ring of 32 + 4 whole ones beside.
    e = (err){ 0 };
    ck_assert(kv_spec_parse(&s, "layers 2:k=kivi4:g16:r32,v=f16+sink3;*:bf16", &e)
              && memory_plan_of(&p, &h, &s, ARITH_BF16, 100, 4, &e));
    const int64_t group = 2 * (4 * 64 + 16 * 32), whole = 128 * 2, sliding_bf16 = 11 * 2 * 128 * 2;
    ck_assert_int_eq(p.kv_bytes, 2 * sliding_bf16 + 7 * group + (36 + 3) * whole + 100 * 256 + 3 * whole + last);
    ck_assert(p.position_bytes == 2 * 512 + (double)group / 16 + 256 + 384);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kv_spec");
    TCase *t = tcase_create("words");
    tcase_add_test(t, texts);
    tcase_add_test(t, refused);
    tcase_add_test(t, many_rules);
    tcase_add_test(t, of_a_type);
    tcase_add_test(t, rules);
    tcase_add_test(t, costs);
    suite_add_tcase(s, t);
    return run_suite(s);
}
