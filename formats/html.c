// html: see html.h.
#include "html.h"
#include "figures.h"
#include <string.h>

// ---- the page -------------------------------------------------------------------------------------------------------

void html_begin(text_buf *t)
{
    text_words(t, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                  "'unsafe-inline'\">\n<title>");
}

void html_begin_body(text_buf *t, const char *more_css)
{
    text_words(t, "</title>\n<style>\n");
    text_words(t, HTML_CSS);
    text_words(t, more_css);
    text_words(t, "</style>\n</head>\n<body>\n<main>\n");
}

void html_end(text_buf *t) { text_words(t, "</main>\n</body>\n</html>\n"); }

void html_put_short(text_buf *t, const char *s, int most)
{
    char text[128];
    const size_t room = (size_t)most + 1 < sizeof text ? (size_t)most + 1 : sizeof text;
    text_fit(text, room, s, strlen(s), room / 3);
    text_puts(t, TEXT_XML, text);
}

void html_begin_details(text_buf *t, const char *summary)
{
    text_printf(t, "<details class=\"table\"><summary>%s</summary>\n", summary);
}

void html_end_details(text_buf *t) { text_words(t, "</details>\n"); }

// ---- tables ---------------------------------------------------------------------------------------------------------

void html_begin_columns(text_buf *t, const char *caption)
{
    text_printf(t, "<div class=\"wide\" role=\"region\" aria-label=\"%s\" tabindex=\"0\"><table>"
                   "<caption>%s</caption><thead><tr>", caption, caption);
}

void html_put_column(text_buf *t, const char *name)
{
    const bool left = name[0] == '<';
    text_printf(t, "<th scope=\"col\"%s>%s</th>", left ? " class=\"l\"" : "", name + left);
}

void html_end_columns(text_buf *t) { text_words(t, "</tr></thead><tbody>\n"); }

void html_begin_table(text_buf *t, const char *caption, const char *const *names)
{
    html_begin_columns(t, caption);
    for (int i = 0; names[i]; i++) html_put_column(t, names[i]);
    html_end_columns(t);
}

void html_end_table(text_buf *t) { text_words(t, "</tbody></table></div>\n"); }

void html_put_words_cell(text_buf *t, const char *s)
{
    text_words(t, "<td class=\"l\">");
    text_puts(t, TEXT_XML, s);
    text_words(t, "</td>");
}

void html_put_count_cell(text_buf *t, int64_t v)
{
    text_words(t, "<td>");
    figure_put_count(t, v);
    text_words(t, "</td>");
}

void html_put_figure_cell(text_buf *t, double v, bool share)
{
    text_words(t, "<td>");
    figure_put(t, v, share);
    text_words(t, "</td>");
}

// ---- the parts of a plot --------------------------------------------------------------------------------------------

void html_begin_plot(text_buf *t, int id, double height)
{
    text_printf(t, "<svg role=\"img\" width=\"100%%\" height=\"%.0f\" aria-labelledby=\"t%d\" "
                   "aria-describedby=\"d%d\"><title id=\"t%d\">", height, id, id, id);
}

void html_begin_description(text_buf *t, int id) { text_printf(t, "</title><desc id=\"d%d\">", id); }

void html_put_at(text_buf *t, const char *attribute, double share)
{
    text_printf(t, " %s=\"%.2f%%\"", attribute, 100 * share);
}

// A line from (x1 share, y1 pixels) to (x2, y2).
void html_put_line(text_buf *t, const char *class, double x1, double y1, double x2, double y2)
{
    text_printf(t, "<line class=\"%s\" y1=\"%.1f\" y2=\"%.1f\"", class, y1, y2);
    html_put_at(t, "x1", x1);
    html_put_at(t, "x2", x2);
    text_words(t, "/>");
}

// Begins a part whose (0, 0) is that point; ended with </svg>. No width and height: they would be those of the plot.
void html_begin_at(text_buf *t, double x, double y)
{
    text_words(t, "<svg overflow=\"visible\"");
    html_put_at(t, "x", x);
    text_printf(t, " y=\"%.1f\">", y);
}

double html_up(const plot_axis *a, double v, double top, double bottom)
{
    return bottom - (bottom - top) * plot_axis_at(a, v);
}

// Lines across and their labels at the left, for an axis that points up between y = top and bottom.
void html_put_y_axis(text_buf *t, const plot_axis *a, int most, double top, double bottom)
{
    double at[PLOT_TICKS + 1];
    const int n = plot_axis_lines(a, most, at);
    for (int i = 0; i < n; i++) {
        const double y = html_up(a, at[i], top, bottom);
        html_put_line(t, at[i] > 0 ? "grid" : "zero", 0, y, 1, y);
        if (at[i] > 0 && a->zero && y > bottom - 13) continue;    // there the 0 has its label
        text_printf(t, "<text x=\"-7\" y=\"%.1f\" class=\"end\">", y + 4);
        figure_put_tick(t, at[i]);
        text_words(t, "</text>");
    }
}

void html_begin_key(text_buf *t)
{
    text_words(t, "<li><svg width=\"16\" height=\"16\" viewBox=\"-8 -8 16 16\" aria-hidden=\"true\">");
}
