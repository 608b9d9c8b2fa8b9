/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A mutator of DER for libFuzzer: it changes, removes, repeats or exchanges whole elements, and then makes the lengths
 * around them fit again. So most inputs are good DER, and what is wrong with them is what they say. Input that is no DER
 * is left to libFuzzer's own mutations, as is one in eight. */
#include "fuzz.h"

#define ELEMENTS_MAX 1024u
#define DEPTH_MAX 24u

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t cap);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
				 uint8_t *out, size_t cap, unsigned seed);

struct element {
	size_t at, header, len; /* len: of the content */
	int parent;             /* -1: none */
};

struct tree {
	const uint8_t *data;
	struct element items[ELEMENTS_MAX];
	size_t count;
};

/* Bytes of tag and length at data; 0: there is no element that ends within end. */
static size_t read_header(const uint8_t *data, size_t at, size_t end, size_t *ret_len)
{
	size_t bytes, len = 0;

	if (end - at < 2) {
		return 0;
	}
	bytes = data[at + 1] < 0x80 ? 0 : data[at + 1] & 0x7fu;
	if (bytes > 3 || end - at < 2 + bytes) {
		return 0;
	}
	for (size_t i = 0; i < bytes; i++) {
		len = len << 8 | data[at + 2 + i];
	}
	len = bytes == 0 ? data[at + 1] : len;
	*ret_len = len;
	return len <= end - at - 2 - bytes ? 2 + bytes : 0;
}

/* Does all of it consist of elements? */
static bool is_der(const uint8_t *data, size_t at, size_t end)
{
	size_t len, header;

	while (at < end && (header = read_header(data, at, end, &len)) > 0) {
		at += header + len;
	}
	return at == end;
}

static void read_elements(struct tree *tree, size_t at, size_t end, int parent, unsigned depth)
{
	size_t len, header;

	while (at < end && tree->count < ELEMENTS_MAX &&
	       (header = read_header(tree->data, at, end, &len)) > 0) {
		uint8_t tag = tree->data[at];
		size_t content = at + header;
		int self = (int)tree->count;

		tree->items[tree->count++] = (struct element){at, header, len, parent};
		/* Extensions and keys have DER in their strings of bytes. */
		if (depth < DEPTH_MAX &&
		    ((tag & 0x20) != 0 ||
		     (tag == 4 && len > 2 && is_der(tree->data, content, content + len)))) {
			read_elements(tree, content, content + len, self, depth + 1);
		}
		at = content + len;
	}
}

/* Of an input that begins with DER, or with two bytes and then DER. */
static bool read_tree(struct tree *tree, const uint8_t *data, size_t len)
{
	size_t at = len > 0 && data[0] == 0x30 ? 0 : 2;

	tree->data = data;
	tree->count = 0;
	if (at < len) {
		read_elements(tree, at, len, -1, 0);
	}
	return tree->count > 0;
}

static size_t put_header(uint8_t out[5], uint8_t tag, size_t len)
{
	size_t bytes = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;

	out[0] = tag;
	out[1] = (uint8_t)(bytes == 0 ? len : 0x80 | bytes);
	for (size_t i = 0; i < bytes; i++) {
		out[2 + i] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
	}
	return 2 + bytes;
}

/* A piece of memory that grows at its front. */
struct piece {
	uint8_t *data; /* owned */
	size_t len;
};

static struct piece join(struct fl_span a, struct piece b, struct fl_span c)
{
	struct piece ret = {fl_new(a.len + b.len + c.len + 1), a.len + b.len + c.len};

	memcpy(ret.data, a.data, a.len);
	if (b.len > 0) {
		memcpy(ret.data + a.len, b.data, b.len);
	}
	memcpy(ret.data + a.len + b.len, c.data, c.len);
	free(b.data);
	return ret;
}

/* All of the tree's input of total bytes with another element in place of one; takes piece. */
static struct piece put_in(const struct tree *tree, size_t total, int index, struct piece piece)
{
	const uint8_t *data = tree->data;

	for (;;) {
		const struct element *item = &tree->items[index];
		size_t end = item->at + item->header + item->len;
		const struct element *above = item->parent < 0 ? NULL : &tree->items[item->parent];
		size_t from = above != NULL ? above->at + above->header : 0;
		size_t to = above != NULL ? from + above->len : total;
		uint8_t header[5];

		piece = join((struct fl_span){data + from, item->at - from}, piece,
			     (struct fl_span){data + end, to - end});
		if (above == NULL) {
			return piece;
		}
		struct fl_span head = {header, put_header(header, data[above->at], piece.len)};
		piece = join(head, piece, (struct fl_span){data, 0});
		index = item->parent;
	}
}

static struct fl_span whole(const struct tree *tree, size_t index)
{
	const struct element *item = &tree->items[index];

	return (struct fl_span){tree->data + item->at, item->header + item->len};
}

static struct piece copy_of(struct fl_span span)
{
	return (struct piece){fuzz_copy(span), span.len};
}

/* The element with other content, which libFuzzer thinks up. */
static struct piece with_content(const struct tree *tree, size_t index)
{
	const struct element *item = &tree->items[index];
	size_t room = item->len + 64;
	uint8_t header[5], *content = fl_new(room);
	size_t len;

	memcpy(content, tree->data + item->at + item->header, item->len);
	len = LLVMFuzzerMutate(content, item->len, room);
	struct fl_span head = {header, put_header(header, tree->data[item->at], len)};
	return join(head, (struct piece){content, len}, (struct fl_span){content, 0});
}

static const uint8_t tags[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x16, 0x17, 0x18,
			       0x30, 0x31, 0x80, 0x81, 0x82, 0x86, 0x87, 0xa0, 0xa1, 0xa3, 0xa4};

static struct piece changed(const struct tree *tree, size_t index, size_t other, uint32_t choice)
{
	struct fl_span self = whole(tree, index), another = whole(tree, other);
	struct piece piece;

	switch (choice % 8) {
	case 0:
		return (struct piece){NULL, 0};
	case 1:
		return join(self, copy_of(self), (struct fl_span){self.data, 0});
	case 2:
		return copy_of(another);
	case 3:
		return join(another, copy_of(self), (struct fl_span){self.data, 0});
	case 4:
		piece = copy_of(self);
		piece.data[0] = tags[choice / 8 % FL_COUNT_OF(tags)];
		return piece;
	default:
		return with_content(tree, index);
	}
}

static size_t give(struct piece piece, uint8_t *out, size_t cap)
{
	size_t len = piece.len < cap ? piece.len : cap;

	memcpy(out, piece.data, len);
	free(piece.data);
	return len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned seed)
{
	static struct tree tree;
	uint32_t a = seed * 2654435761u, b = a * 2654435761u, c = b * 2654435761u;

	if (a >> 29 == 0 || !read_tree(&tree, data, len)) {
		return LLVMFuzzerMutate(data, len, cap);
	}
	size_t index = (b >> 8) % tree.count, other = (c >> 8) % tree.count;
	uint8_t *copy = fuzz_copy((struct fl_span){data, len});
	tree.data = copy;
	len = give(put_in(&tree, len, (int)index, changed(&tree, index, other, a >> 8)), data, cap);
	free(copy);
	return len;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
				 uint8_t *out, size_t cap, unsigned seed)
{
	static struct tree first, second;
	uint32_t i = seed * 2654435761u, k = i * 2654435761u;

	if (!read_tree(&first, a, a_len) || !read_tree(&second, b, b_len)) {
		return 0;
	}
	struct fl_span from = whole(&second, (k >> 8) % second.count);
	return give(put_in(&first, a_len, (int)((i >> 8) % first.count), copy_of(from)), out, cap);
}
