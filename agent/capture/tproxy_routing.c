/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tproxy_routing - four rtnetlink requests, one after the other, each acknowledged. */
#include "agent/capture/tproxy_routing.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/capture/netlink.h"
#include "base/capture.h"
#include "base/mem.h"

struct request {
	struct nlmsghdr head;
	union {
		struct fib_rule_hdr rule;
		struct rtmsg route;
	} body;
	char attributes[64];
};
_Static_assert(sizeof(struct fib_rule_hdr) == sizeof(struct rtmsg), "both begin alike");

static void put_u32(struct request *request, uint16_t type, uint32_t value)
{
	size_t at = NLMSG_ALIGN(request->head.nlmsg_len);
	struct rtattr attribute = {.rta_len = RTA_LENGTH(sizeof(value)), .rta_type = type};

	FL_REQUIRE(at + RTA_SPACE(sizeof(value)) <= sizeof(*request));
	memcpy((char *)request + at, &attribute, sizeof(attribute));
	memcpy((char *)request + at + RTA_LENGTH(0), &value, sizeof(value));
	request->head.nlmsg_len = (uint32_t)(at + RTA_SPACE(sizeof(value)));
}

static struct request request_new(uint16_t type, uint16_t flags)
{
	return (struct request){
		.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			 .nlmsg_type = type,
			 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)}};
}

/* fwmark FL_CAPTURE_MARK lookup FL_CAPTURE_TABLE */
static struct request rule_request(bool add, sa_family_t family)
{
	struct request request =
		request_new(add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0);

	request.body.rule.family = (uint8_t)family;
	request.body.rule.table = FL_CAPTURE_TABLE;
	request.body.rule.action = FR_ACT_TO_TBL;
	/* A fixed priority; otherwise the kernel would add another rule each time. */
	put_u32(&request, FRA_PRIORITY, FL_CAPTURE_TABLE);
	put_u32(&request, FRA_FWMARK, FL_CAPTURE_MARK);
	put_u32(&request, FRA_FWMASK, UINT32_MAX);
	return request;
}

/* local default dev lo table FL_CAPTURE_TABLE */
static struct request route_request(bool add, sa_family_t family)
{
	struct request request = request_new(add ? RTM_NEWROUTE : RTM_DELROUTE,
					     add ? NLM_F_CREATE | NLM_F_REPLACE : 0);

	request.body.route.rtm_family = (uint8_t)family;
	request.body.route.rtm_table = FL_CAPTURE_TABLE;
	request.body.route.rtm_protocol = RTPROT_STATIC;
	request.body.route.rtm_scope = RT_SCOPE_HOST;
	request.body.route.rtm_type = RTN_LOCAL;
	put_u32(&request, RTA_OIF, if_nametoindex("lo"));
	return request;
}

/* A pod without IPv6 needs no such route. */
static bool is_without(sa_family_t family, int code)
{
	return family == AF_INET6 &&
	       (code == EAFNOSUPPORT || code == EOPNOTSUPP || code == EACCES || code == EINVAL);
}

static bool is_done(bool add, sa_family_t family, int code)
{
	if (code == 0 || is_without(family, code)) {
		return true;
	}
	return add ? code == EEXIST : code == ENOENT || code == ESRCH;
}

static int change(bool add, struct fl_err *err)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot change routes");
	}
	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		struct request requests[] = {route_request(add, families[i]),
					     rule_request(add, families[i])};

		for (size_t k = 0; k < FL_COUNT_OF(requests); k++) {
			int code = fl_netlink_ask(fd, &requests[k].head);

			if (!is_done(add, families[i], code)) {
				(void)close(fd);
				return fl_err_sys(err, code, "cannot %s the %s for mark 0x%x",
						  add ? "add" : "remove",
						  k == 0 ? "route" : "routing rule",
						  FL_CAPTURE_MARK);
			}
		}
	}
	(void)close(fd);
	return FL_OK;
}

int fl_tproxy_routing_add(struct fl_err *err)
{
	return change(true, err);
}

int fl_tproxy_routing_remove(struct fl_err *err)
{
	return change(false, err);
}
