// The scan before the parse: see json_scan.h.
#include "json_scan.h"

#include <string.h>

#include "checked.h"
#include "file_kind.h"
#include "json.h"
#include "utf8.h"

static bool scan_fail(json_scan *s, const char *expected)
{
    if (s->i >= s->n)
        return err_set(s->e, ERR_INPUT, "%s: offset %lld: found the end, expected %s", s->where, (long long)s->i,
                       expected);
    uint8_t     c    = s->text[s->i];
    const char *kind = s->i == 0 ? file_kind(s->text, s->n) : NULL;
    if (kind) return err_set(s->e, ERR_INPUT, "%s: offset 0: found %s, expected %s", s->where, kind, expected);
    if (c > 0x20 && c < 0x7f)
        return err_set(s->e, ERR_INPUT, "%s: offset %lld: found '%c', expected %s", s->where, (long long)s->i, c,
                       expected);
    return err_set(s->e, ERR_INPUT, "%s: offset %lld: found byte 0x%02x, expected %s", s->where, (long long)s->i, c,
                   expected);
}

static inline int scan_peek(const json_scan *s) { return s->i < s->n ? s->text[s->i] : -1; }

static void scan_space(json_scan *s)
{
    while (s->i < s->n
           && (s->text[s->i] == ' ' || s->text[s->i] == '\n' || s->text[s->i] == '\r' || s->text[s->i] == '\t')) s->i++;
}

// Four hex digits after \u; -1 if they are not there.
static int scan_hex4(const json_scan *s, int64_t at)
{
    int v = 0;
    if (s->n - at < 4) return -1;
    for (int k = 0; k < 4; k++) {
        int c = s->text[at + k], d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a'
            && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

// At the backslash of an escape.
static bool scan_escape(json_scan *s)
{
    int64_t at = s->i;
    s->i++;
    int c = scan_peek(s);
    if (c < 0 || c == 0 || !strchr("\"\\/bfnrtu", c))
        return scan_fail(s, "one of \" \\ / b f n r t u after a backslash");
    s->i++;
    if (c != 'u') return true;
    int u = scan_hex4(s, s->i);
    if (u < 0) return scan_fail(s, "four hex digits after \\u");
    s->i += 4;
    if (s->allow_nul && u == 0xffff)
        return err_set(s->e, ERR_INPUT, "%s: offset %lld: found U+FFFF, expected characters only", s->where,
                       (long long)at);
    if (u == 0 && !s->allow_nul)
        return err_set(s->e, ERR_INPUT, "%s: offset %lld: found \\u0000, expected a string without NUL", s->where,
                       (long long)at);
    if (u < 0xd800 || u > 0xdfff) return true;
    int low = u < 0xdc00 && s->n - s->i >= 6 && s->text[s->i] == '\\'
        && s->text[s->i + 1] == 'u' ? scan_hex4(s, s->i + 2) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return err_set(s->e, ERR_INPUT, "%s: offset %lld: found half of a surrogate pair, expected both", s->where,
                       (long long)at);
    s->i += 6;
    return true;
}

static bool scan_string(json_scan *s)
{
    if (scan_peek(s) != '"') return scan_fail(s, "a string");
    s->i++;
    while (s->i < s->n) {
        uint8_t c = s->text[s->i];
        if (c == '"') { s->i++; return true; }
        if (c < 0x20) return scan_fail(s, "control characters to be escaped");
        if (c == '\\') {
            if (!scan_escape(s)) return false;
            continue;
        }
        int len = utf8_len(s->text + s->i, s->n - s->i);
        if (len == 0) return scan_fail(s, "valid UTF-8");
        if (s->allow_nul && len == 3 && memcmp(s->text + s->i, JSON_NUL, 3) == 0)
            return err_set(s->e, ERR_INPUT, "%s: offset %lld: found U+FFFF, expected characters only", s->where,
                           (long long)s->i);
        s->i += len;
    }
    return scan_fail(s, "the end of a string");
}

static bool scan_digits(json_scan *s)
{
    int64_t from = s->i;
    while (s->i < s->n && s->text[s->i] >= '0' && s->text[s->i] <= '9') s->i++;
    return s->i > from || scan_fail(s, "a digit");
}

static bool scan_word(json_scan *s, const char *word)
{
    int64_t n = (int64_t)strlen(word);
    if (s->n - s->i < n || memcmp(s->text + s->i, word, (size_t)n) != 0) return scan_fail(s, word);
    s->i += n;
    return true;
}

// Not JSON, but what Python's json module writes for a float that is no number, and reads back.
static bool scan_nonfinite(json_scan *s, const char *word)
{
    s->n_nonfinite++;
    return scan_word(s, word);
}

static bool scan_number(json_scan *s)
{
    int64_t from = s->i;
    if (scan_peek(s) == '-') s->i++;
    if (scan_peek(s) == 'I' && s->allow_nonfinite) return scan_nonfinite(s, "Infinity");
    if (scan_peek(s) == '0') s->i++;
    else if (!scan_digits(s)) return false;
    if (scan_peek(s) == '.') {
        s->i++;
        if (!scan_digits(s)) return false;
    }
    if (scan_peek(s) == 'e' || scan_peek(s) == 'E') {
        s->i++;
        if (scan_peek(s) == '+' || scan_peek(s) == '-') s->i++;
        if (!scan_digits(s)) return false;
    }
    // cJSON copies a number into 63 characters and would split a longer one in two.
    if (s->i - from > 60)
        return err_set(s->e, ERR_INPUT, "%s: offset %lld: found a number of %lld characters, expected at most 60",
                       s->where, (long long)from, (long long)(s->i - from));
    return true;
}

static bool scan_scalar(json_scan *s)
{
    switch (scan_peek(s)) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    case 'n': return scan_word(s, "null");
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        return scan_number(s);
    case 'N': if (s->allow_nonfinite) return scan_nonfinite(s, "NaN"); break;
    case 'I': if (s->allow_nonfinite) return scan_nonfinite(s, "Infinity"); break;
    default: break;
    }
    return scan_fail(s, "a JSON value");
}

// A member's name and colon.
static bool scan_name(json_scan *s)
{
    scan_space(s);
    if (!scan_string(s)) return false;
    scan_space(s);
    if (scan_peek(s) != ':') return scan_fail(s, "':'");
    s->i++;
    return true;
}

// One value, whatever its depth, without recursion. stack holds the closing character of each open container.
static bool scan_value(json_scan *s)
{
    char stack[LIMIT_JSON_DEPTH];
    int  depth = 0;
    for (;;) {
        scan_space(s);
        if (++s->n_values > s->max_values)
            return err_set(s->e, ERR_INPUT, "%s: offset %lld: found more than %lld values", s->where, (long long)s->i,
                           (long long)s->max_values);
        int c = scan_peek(s);
        if (c == '{' || c == '[') {
            if (depth == LIMIT_JSON_DEPTH)
                return err_set(s->e, ERR_INPUT, "%s: offset %lld: nested deeper than %d", s->where, (long long)s->i,
                               LIMIT_JSON_DEPTH);
            stack[depth++] = c == '{' ? '}' : ']';
            s->i++;
            scan_space(s);
            if (scan_peek(s) != stack[depth - 1]) {
                if (c == '{' && !scan_name(s)) return false;
                continue;
            }
        } else if (!scan_scalar(s)) {
            return false;
        }
        // A value ends here (an empty container at its closing character): close what closes, then on to the next one.
        for (;;) {
            if (depth == 0) return true;
            scan_space(s);
            c = scan_peek(s);
            if (c == stack[depth - 1]) { s->i++; depth--; continue; }
            break;
        }
        if (c != ',') return scan_fail(s, stack[depth - 1] == '}' ? "',' or '}'" : "',' or ']'");
        s->i++;
        if (stack[depth - 1] == '}' && !scan_name(s)) return false;
    }
}

bool json_scan_all(json_scan *s)
{
    if (!scan_value(s)) return false;
    scan_space(s);
    return s->i == s->n || scan_fail(s, "nothing after the JSON value");
}
