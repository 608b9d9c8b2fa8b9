/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WIRE_FRAME_H
#define FL_WIRE_FRAME_H
/* frame - the frames in which a session of ALPN fairlead/2 carries app connections, one after another.
 *
 * Pure: no I/O, no allocation, no clock. One struct fl_framing belongs to one session, and knows both of its directions: what
 * it wrote decides what it may read. A *use* is one app connection.
 *
 *   frame     u8 type, u24 length, payload of that length; numbers are big endian
 *   address   u8 0 (none) | u8 4, u16 port, 4 bytes | u8 6, u16 port, 16 bytes (never IPv4 written as IPv6)
 *
 *   client -> server:   OPEN 1     u32 number, u64 generation, u8 flags (0), address destination, address source
 *                       DATA 2     1 byte or more
 *                       END 3      nothing
 *   server -> client:   STATUS 4   u32 number, u8 enum fl_status, address of the server's end
 *                       DATA, END
 *                       RETIRE 5   nothing
 *
 *   a use     client:  OPEN (DATA)* END         server:  STATUS (DATA)* END
 *
 * The two directions of a use are independent, as those of TCP are; the client need not wait for STATUS. The next OPEN is
 * legal when END was written and read, and has the next number; the first number is 1. Nothing may be skipped, repeated,
 * longer or shorter: the reader calls all that BROKEN, for ever, because a byte of one use must never appear in another.
 * Extensions need another ALPN name. Records of TLS mean nothing: a frame may be cut anywhere, and several may come at once,
 * among them the END of a use and the OPEN of the next one.
 *
 * RETIRE: the server takes no further OPEN; a use that it has read the OPEN of goes on to its end. It may cross the next OPEN,
 * and that one is *late*: the server answers FL_STATUS_NOT_OPENED.
 *
 * The server answers within FL_FRAME_STATUS_MS of reading OPEN: if its app has not answered by then, it says FL_STATUS_OPENED
 * all the same, and whatever ends the use after that is the end of the session. So a client that waits for longer knows that
 * the server does not run.
 *
 * A STATUS other than FL_STATUS_OPENED is the last frame of the session in both directions, FL_STATUS_NOT_OPENED included.
 * The server discards what still comes: it was written before the client knew. So that no reset overtakes the STATUS, the
 * server should read, for a while, until the client has closed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/mem.h"

#define FL_FRAME_HEADER 4u
#define FL_FRAME_DATA_MAX 0xffffffu /* bytes of payload */
/* Whole frames; each with the header of a first DATA behind it fits into FL_FRAME_HEADROOM. */
#define FL_FRAME_OPEN_MAX (FL_FRAME_HEADER + 13u + 2 * 19u)
#define FL_FRAME_STATUS_MAX (FL_FRAME_HEADER + 5u + 19u)
#define FL_FRAME_HEADROOM 64u
#define FL_FRAME_STATUS_MS 6000u /* more than the default of connect_timeout */

enum fl_framing_role {
	FL_FRAMING_CLIENT,
	FL_FRAMING_SERVER,
};

/* Numbers of the protocol. */
enum fl_status {
	FL_STATUS_OPENED = 0,      /* mostly, the app is connected */
	FL_STATUS_DENIED = 1,      /* by policy, or by what is known of the peer now */
	FL_STATUS_APP_REFUSED = 2, /* the app does not listen */
	FL_STATUS_APP_TIMEOUT = 3, /* the app's address does not answer */
	FL_STATUS_APP_FAILED = 4,  /* any other failure behind the server */
	FL_STATUS_NOT_OPENED =
		5, /* the app has got nothing of it; the client may try another session */
};
#define FL_STATUS_LAST FL_STATUS_NOT_OPENED

/* Why it is broken; the sentence is what the peer did. */
#define FL_FRAMING_FAULTS(X)                                                                       \
	X(NONE, "nothing is wrong")                                                                \
	X(TYPE, "the peer sent a frame of an unknown type")                                        \
	X(ROLE, "the peer sent a frame that only the other side may send")                         \
	X(LENGTH, "the peer sent a frame with a length that its type does not have")               \
	X(OPEN_EARLY, "the peer sent OPEN before the use before it had ended")                     \
	X(OPEN_NUMBER, "the peer sent OPEN with a number that is not the next one")                \
	X(OPEN_FLAGS, "the peer sent OPEN with unknown flags")                                     \
	X(ADDRESS, "the peer sent a malformed address")                                            \
	X(STATUS_STRAY, "the peer sent STATUS without an OPEN that it answers")                    \
	X(STATUS_NUMBER, "the peer sent STATUS of another use")                                    \
	X(STATUS_CODE, "the peer sent STATUS with an unknown code")                                \
	X(EARLY, "the peer sent DATA or END before STATUS")                                        \
	X(STRAY, "the peer sent DATA or END outside a use")                                        \
	X(RETIRE_TWICE, "the peer sent RETIRE twice")                                              \
	X(REFUSED, "the peer sent a frame after its refusal")

enum fl_framing_fault {
#define FL_FRAMING_FAULT_ENUM(name, sentence) FL_FRAMING_FAULT_##name,
	FL_FRAMING_FAULTS(FL_FRAMING_FAULT_ENUM)
#undef FL_FRAMING_FAULT_ENUM
};

/* Plain storage, owns nothing. `number` may be read: the current use or the last one, 0 before the first. The other fields
 * are frame.c's. */
struct fl_framing {
	uint32_t number;
	uint32_t left; /* bytes to come of the payload of the DATA that is being read */
	uint8_t role;  /* enum fl_framing_role */
	uint8_t up;    /* enum phase of frame.c: from the client to the server */
	uint8_t down;  /* likewise, from the server to the client */
	uint8_t fault; /* enum fl_framing_fault */
	bool retired;  /* RETIRE was written (server) or read (client) */
	bool over;     /* no frame may follow, but the STATUS that answers a late OPEN */
	uint8_t have;  /* bytes in `part` */
	uint8_t part
		[FL_FRAME_OPEN_MAX]; /* the frame that is being read, without the payload of DATA */
};

/* What a client says when it opens a use. The addresses are its claims: they are logged and passed on as such, and authorize
 * nothing. Scopes of IPv6 are not sent. */
struct fl_framing_open {
	uint64_t generation; /* of the client's credentials and policy */
	struct fl_inet destination, source;
	bool is_late; /* read only: it came after RETIRE; answer FL_STATUS_NOT_OPENED */
};

struct fl_framing_status {
	enum fl_status code;
	/* The server's end of the connection as the server sees it: if that is not where the client connected to, something
	 * between them translates addresses. */
	struct fl_inet local;
};

enum fl_framing_event {
	FL_FRAMING_NEED_MORE, /* all was read, and there is nothing to do */
	FL_FRAMING_OPEN,      /* server: ret->open */
	FL_FRAMING_DATA,      /* ret->data: the next bytes of the use, at least one */
	FL_FRAMING_END,       /* of this direction; the use is over if fl_framing_is_idle() */
	FL_FRAMING_STATUS,    /* client: ret->status */
	FL_FRAMING_RETIRE,    /* client: fl_framing_may_open() is false from now on */
	FL_FRAMING_BROKEN,    /* ret->fault; end the session with an error */
};

struct fl_framing_read {
	union {
		struct fl_framing_open open;
		struct fl_span data; /* a part of the input, as long as that lives */
		struct fl_framing_status status;
		enum fl_framing_fault fault;
	};
};

void fl_framing_init(struct fl_framing *framing, enum fl_framing_role role);

/* --- writing: each returns how many bytes it wrote to `out` ----------------------------------------------------------
 * They are to be sent in the order of these calls, each whole. A call that is not legal now is a bug of the caller, and ends
 * the process. */

/* Client: may the next use begin? Not if the session is busy, retired, refused or broken, or part of a frame was read. */
bool fl_framing_may_open(const struct fl_framing *framing);
/* Client; fl_framing_may_open(). open->is_late is ignored. */
size_t fl_framing_put_open(struct fl_framing *framing, uint8_t out[FL_FRAME_OPEN_MAX],
			   const struct fl_framing_open *open);
/* Server: answers the OPEN that was read, once. Any code but FL_STATUS_OPENED ends the session; FL_STATUS_NOT_OPENED is the
 * only one for a late OPEN. */
size_t fl_framing_put_status(struct fl_framing *framing, uint8_t out[FL_FRAME_STATUS_MAX],
			     const struct fl_framing_status *status);
/* May DATA and END be written? Client: after OPEN; server: after STATUS; until END, or until a refusal. A client's app does not
 * know of a refusal: what it sends after that must not come here. */
bool fl_framing_may_put(const struct fl_framing *framing);
/* The header of a DATA of len bytes, which the caller sends right behind it: 1 to FL_FRAME_DATA_MAX. */
size_t fl_framing_put_header(struct fl_framing *framing, uint8_t out[FL_FRAME_HEADER], size_t len);
size_t fl_framing_put_end(struct fl_framing *framing, uint8_t out[FL_FRAME_HEADER]);
/* Server, at any moment. Returns 0 if it has nothing to say: RETIRE was written already, or the session was refused or is
 * broken. */
size_t fl_framing_put_retire(struct fl_framing *framing, uint8_t out[FL_FRAME_HEADER]);

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Takes bytes off the front of *in, at most those of one event, and says what they mean. Call it until it returns
 * FL_FRAMING_NEED_MORE, or until nothing more is wanted: what is left of *in is the caller's to keep. */
enum fl_framing_event fl_framing_read(struct fl_framing *framing, struct fl_span *in,
				      struct fl_framing_read *ret);
/* Is there no use, and no part of a frame? Only then the end of the session (close_notify) is no truncation. False if it is
 * refused or broken. */
bool fl_framing_is_idle(const struct fl_framing *framing);
const char *fl_framing_fault_text(enum fl_framing_fault fault);

#endif
