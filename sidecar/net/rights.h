/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_RIGHTS_H
#define FL_NET_RIGHTS_H
/* rights - descriptors that the other end of a Unix socket sends (SCM_RIGHTS, unix(7)). We ask nobody for any.
 *
 * They are an attack: the kernel drops what we do not take, and who drops the last reference to a TCP socket waits, if that has
 * SO_LINGER, until the other end has acknowledged all bytes. So our thread would sleep for as long as the sender likes.
 *
 * From Linux 6.16 on a socket refuses them (SO_PASSRIGHTS), and the sender gets EPERM. Before, they are received, made harmless
 * and closed; a socket that is closed before it was read to its end is emptied in the same way first. What that leaves open
 * stands in THREATS.md. Any thread. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* For a Unix socket to which nobody can have sent anything yet: one that is not connected, or does not listen. What a listener
 * accepts inherits it. False: this kernel cannot, and it is to be called for each socket that is accepted, before it is read. */
bool fl_rights_refuse(int fd);

/* recv() of a Unix socket, without waiting. If descriptors came with the bytes, both are discarded: -1, and errno is
 * FL_RIGHTS_CAME. */
ssize_t fl_rights_recv(int fd, uint8_t *buf, size_t cap);
#define FL_RIGHTS_CAME EBADMSG

/* close() of a Unix socket that may hold what nobody has read, or of a listener whose queue does. If descriptors may be there, nobody
 * can use it any more, by whatever descriptor: so a listener must not have been given to another thread or process. */
void fl_rights_close(int fd);

#endif
