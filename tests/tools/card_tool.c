// card_tool: what a release's folder has for the Hub, for readers that are not ours (tests/peers).
//   card_tool front DIR [BASE_MODEL [QUANTIZED_BY]]   the front matter made of DIR/README.md
//   card_tool template FILE [EOS]     the Go template of a Jinja one; status 1: it is none that is known
#include "formats/file_map.h"
#include "release/hub_front.h"
#include "release/hub_template.h"
#include <stdlib.h>
#include <string.h>

static int failed(const err *e)
{
    fprintf(stderr, "card_tool: %s\n", e->msg);
    return 2;
}

static int front(const char *dir, const char *base, const char *by)
{
    hub_front f;
    text_buf  t = { 0 };
    err       e = { 0 };
    if (!hub_front_of_source(&f, dir, NULL, &e)) return failed(&e);
    if (base) f.base_model = strdup(base);
    if (by) f.quantized_by = strdup(by);
    hub_front_put(&t, &f);
    fwrite(t.s, 1, t.n, stdout);
    text_drop(&t);
    hub_front_free(&f);
    return 0;
}

static int go_template(const char *path, const char *eos)
{
    hub_template t;
    char   *text;
    int64_t n;
    err     e = { 0 };
    if (!file_read_text(&text, &n, path, 1 << 20, &e)) return failed(&e);
    const bool known = hub_template_of(&t, text, eos) && t.name;
    if (known) fputs(t.go, stdout);
    hub_template_free(&t);
    free(text);
    return !known;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "front") == 0)
        return front(argv[2], argc > 3 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
    if (argc > 2 && strcmp(argv[1], "template") == 0) return go_template(argv[2], argc > 3 ? argv[3] : NULL);
    fprintf(stderr, "card_tool: front DIR | template FILE\n");
    return 2;
}
