#include "hub_template.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

// The last message ends the prompt: after any but the model's own, which is to be continued, the model's turn begins.
#define EACH_MESSAGE "{{- range $i, $_ := .Messages }}\n{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
#define END_MESSAGE  "{{- end }}\n{{- end }}"

static const char GEMMA[] =
    "{{- $system := .System }}\n" EACH_MESSAGE
    "{{- if eq .Role \"user\" }}<start_of_turn>user\n"
    "{{ if $system }}{{ $system }}\n\n{{ $system = \"\" }}{{ end }}{{ .Content }}<end_of_turn>\n"
    "{{ if $last }}<start_of_turn>model\n{{ end }}\n"
    "{{- else if eq .Role \"assistant\" }}<start_of_turn>model\n"
    "{{ .Content }}{{ if not $last }}<end_of_turn>\n{{ end }}\n" END_MESSAGE;

static const char LLAMA3[] =
    EACH_MESSAGE
    "{{- \"\" }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
    "{{ .Content }}{{ if or (not $last) (ne .Role \"assistant\") }}<|eot_id|>{{ end }}\n"
    "{{- if and $last (ne .Role \"assistant\") }}<|start_header_id|>assistant<|end_header_id|>\n\n{{ end }}\n"
    "{{- end }}";

static const char MISTRAL[] =
    EACH_MESSAGE
    "{{- if eq .Role \"user\" }}[INST] {{ .Content }} [/INST]\n"
    "{{- else if eq .Role \"assistant\" }}{{ .Content }}{{ if not $last }}</s>{{ end }}\n" END_MESSAGE;

static const char CHATML[] =
    EACH_MESSAGE
    "{{- \"\" }}<|im_start|>{{ .Role }}\n"
    "{{ .Content }}{{ if or (not $last) (ne .Role \"assistant\") }}<|im_end|>\n{{ end }}\n"
    "{{- if and $last (ne .Role \"assistant\") }}<|im_start|>assistant\n{{ end }}\n"
    "{{- end }}";

#define TRIMMED "the source's template also removes white space around a message's text"

enum { MOST_WORDS = 4 };
static const struct {
    const char *name;
    const char *has[MOST_WORDS];        // all of these
    const char *eos;                    // NULL: the format does not use it
    const char *go, *note;
} FORMATS[] = {
    { "Gemma", { "<start_of_turn>", "<end_of_turn>" }, NULL, GEMMA, TRIMMED },
    { "Llama 3", { "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>" }, NULL, LLAMA3, TRIMMED },
    { "Mistral", { "'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token}" }, "</s>", MISTRAL,
      "a system prompt has no place in it, as in the source's template" },
    { "ChatML", { "<|im_start|>", "<|im_end|>" }, NULL, CHATML, NULL },
};

// Words of templates that do more.
static const char *const MORE[] = {
    "tool", "function", "think", "reasoning", "date", "strftime", "document", "citation",
    "<|im_sep|>", "<end_of_utterance>", "[SYSTEM_PROMPT]", "<<SYS>>", "namespace", "enable_",
};

static bool has_all(const char *jinja, const char *const words[MOST_WORDS])
{
    for (int i = 0; i < MOST_WORDS && words[i]; i++)
        if (!strstr(jinja, words[i])) return false;
    return true;
}

static bool does_more(const char *jinja)
{
    for (size_t i = 0; i < sizeof MORE / sizeof MORE[0]; i++)
        if (strstr(jinja, MORE[i])) return true;
    return false;
}

// ---- a system prompt of the template's own --------------------------------------------------------------------------

// The line end behind the first is spelled \n, or stands there itself.
#define OPENING "<|im_start|>system"
#define CLOSING "<|im_end|>"

// The prompt in a ChatML template: *n bytes; 0: it has none. NULL: it may have one, which is not understood.
static const char *own_prompt(const char *jinja, size_t *n)
{
    const char *at = strstr(jinja, OPENING);
    *n = 0;
    if (!at) return strstr(jinja, "system") ? NULL : jinja;
    at += strlen(OPENING);
    const size_t line_end = at[0] == '\n' ? 1 : strncmp(at, "\\n", 2) == 0 ? 2 : 0;
    const char *end = strstr(at, CLOSING);
    if (line_end == 0 || !end || strstr(end, OPENING)) return NULL;
    if (!strstr(jinja, "loop.first and messages[0]['role'] != 'system'")) return NULL;
    at += line_end;
    *n = (size_t)(end - at);
    for (size_t i = 0; i < *n; i++)
        if (strchr("'\"\\{}\n", at[i])) return NULL;
    return *n > 0 ? at : NULL;
}

static bool with_own_prompt(hub_template *t, const char *jinja)
{
    size_t n;
    const char *prompt = own_prompt(jinja, &n);
    text_buf go = { 0 };
    if (!prompt) { t->name = NULL; return true; }
    if (n > 0) {
        text_words(&go, "{{- if not .System }}<|im_start|>system\n");
        text_raw(&go, prompt, n);
        text_words(&go, "<|im_end|>\n{{ end }}\n");
    }
    text_words(&go, CHATML);
    return (t->go = text_take(&go)) != NULL;
}

bool hub_template_of(hub_template *t, const char *jinja, const char *eos)
{
    *t = (hub_template){ 0 };
    if (!jinja || does_more(jinja)) return true;
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++) {
        if (!has_all(jinja, FORMATS[i].has)) continue;
        if (FORMATS[i].eos && (!eos || strcmp(eos, FORMATS[i].eos) != 0)) continue;
        t->name = FORMATS[i].name;
        t->note = FORMATS[i].note;
        if (FORMATS[i].go == CHATML) return with_own_prompt(t, jinja);
        return (t->go = strdup(FORMATS[i].go)) != NULL;
    }
    return true;
}

void hub_template_free(hub_template *t)
{
    free(t->go);
    *t = (hub_template){ 0 };
}
