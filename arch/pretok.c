// pretok: see pretok.h. Patterns are facts of the published tokenizer.json files.
#include "pretok.h"
#include <stddef.h>
#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

static const pretok_row rows[] = {
    { .name = "llama-bpe",
      .is_split = true,
      .ignore_merges = true,
      .add_bos = true,
      .pattern = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES },
    { .name = "qwen2",
      .is_split = true,
      .nfc = true,
      .pattern = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES },
    { .name = "qwen35",
      .is_split = true,
      .nfc = true,
      .pattern = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                              "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES },
    { .name = "tekken",
      .is_split = true,
      .ignore_merges = true,
      .add_bos = true,
      .pattern = "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*|\\p{N}"
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES },
    { .name = "smollm", .digits = true, .pattern = GPT2 },
    { .name = "gpt-2", .pattern = GPT2 },
    { .name = NULL },
};

const pretok_row *pretok_table(void) { return rows; }

const pretok_row *pretok_find(const char *name)
{
    for (const pretok_row *r = rows; r->name; r++)
        if (strcmp(r->name, name) == 0) return r;
    return NULL;
}
