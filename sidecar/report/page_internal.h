/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_PAGE_INTERNAL_H
#define FL_REPORT_PAGE_INTERNAL_H
/* What the files of the page share. Private to them. Pure; thread: any.
 *
 * All text that is not one of our literals goes through fl_page_escape(). The page has no style attributes, because its
 * policy forbids them: shapes are SVG. */
#include "report/report.h"

/* A literal. */
void fl_page_put(struct fl_text *text, const char *literal);
/* The result is safe as text and in a quoted attribute. */
void fl_page_escape(struct fl_text *text, const char *value);
void fl_page_escape_part(struct fl_text *text, const char *value, size_t left);
/* A SPIFFE ID, or anything else that names a peer: it may be broken only before a slash. */
void fl_page_id(struct fl_text *text, const char *id);
/* 1234567 as "1,234,567". */
void fl_page_number(struct fl_text *text, uint64_t value);
/* "97.7 KiB"; a tooltip shows the exact number. */
void fl_page_bytes(struct fl_text *text, uint64_t bytes);
/* "3d 4h"; a tooltip shows the time. */
void fl_page_for(struct fl_text *text, int64_t when, int64_t now);
/* "3d 4h ago", with the same tooltip. */
void fl_page_ago(struct fl_text *text, int64_t when, int64_t now);
/* "in 9d 3h", or in red "expired 3h ago"; a tooltip shows the time. */
void fl_page_expiry(struct fl_text *text, int64_t not_after, int64_t now);

/* Cells of a table. */
void fl_page_cell(struct fl_text *text, const char *value);
void fl_page_id_cell(struct fl_text *text, const char *id);
void fl_page_number_cell(struct fl_text *text, uint64_t value);
void fl_page_bytes_cell(struct fl_text *text, uint64_t bytes);

/* A section of the page, with its heading. id: of its heading. */
void fl_page_section(struct fl_text *text, const char *id, const char *heading);
void fl_page_section_end(struct fl_text *text);
/* A table, which scrolls by itself where the window is narrow. label: for those who do not see it. heads: its columns,
 * NULL-terminated; one that begins with `#` is of numbers. */
void fl_page_table(struct fl_text *text, const char *label, const char *caption,
		   const char *const heads[]);
void fl_page_table_end(struct fl_text *text);
/* A horizontal bar, as long as part is of whole. */
void fl_page_bar(struct fl_text *text, const char *class, uint64_t part, uint64_t whole);

/* The parts that have files of their own. */
void fl_page_charts(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_rules(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_sections(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_denials(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_peers(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_connections(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_tiles(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_facts(struct fl_text *text, const struct fl_snapshot *snapshot);
void fl_page_counts(struct fl_text *text, const struct fl_snapshot *snapshot);

#endif
