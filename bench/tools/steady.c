// steady: the ordinary traffic of a good guest at a modest rate, each request timed. Built on demand: gcc -O2 -o steady steady.c
//
//   steady HOST PORT GATEWAY RATE
//
// RATE requests a second of each kind: `tcp` on standing connections, `connect` (a new one for each), `udp` from one
// socket, `binding` (a new socket for every tenth), `fragments` (4000 bytes), `dns` (a name never asked before) and `ping`. PORT echoes
// TCP and UDP. A line on stdin ends a phase and begins the next, which has its name; when all requests of the ended phase are
// answered or late (DEADLINE), its line of JSON is printed: of each kind sent, answered, p50, p99 and max in milliseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum kind { TCP, CONNECT, UDP, BINDING, FRAGMENTS, DNS, PING, KINDS };
static const char *const NAMES[KINDS] = {"tcp", "connect", "udp", "binding", "fragments", "dns", "ping"};
#define DEADLINE 2.0
#define SLOTS 8192 // requests under way: RATE * KINDS * DEADLINE fit
#define PHASES 1024
#define STANDING 160
#define MAGIC 0x6861777365720000ull

struct series { unsigned sent, decided, answered, room; float *ms; };
struct phase { char name[64]; struct series of[KINDS]; };
static struct phase phases[PHASES];
static unsigned phase, reported;

struct request { uint8_t live, kind; uint16_t phase; uint32_t generation; int fd; unsigned standing; double at; };
static struct request requests[SLOTS];
static unsigned next_slot, oldest;
static struct standing { int fd, open; int slot; } standing[STANDING];
#define BINDINGS 32 // sockets of the last requests
static int ep, udp_fd, fragment_fd, ping_fd, bindings[BINDINGS];
static struct sockaddr_in host, gateway;
static char payload[65536];

enum source { TICK, INPUT, SHARED, OWN, HELD }; // of an event: upper half of its data
static void die(const char *what) { fprintf(stderr, "steady: %s: %s\n", what, strerror(errno)); exit(1); }
static double now_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void watch(int fd, uint32_t events, enum source source, uint32_t index, int op) {
  struct epoll_event e = {events, {.u64 = (uint64_t)source << 32 | index}};
  if (epoll_ctl(ep, op, fd, &e)) die("epoll_ctl");
}
static int dial(int type, int protocol, const struct sockaddr_in *to) {
  int one = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK, protocol);
  if (fd < 0) die("socket");
  if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (void *)to, sizeof *to) && errno != EINPROGRESS) { close(fd); return -1; }
  return fd;
}

// ---- what became of a request ----
static int by_value(const void *a, const void *b) { float x = *(const float *)a, y = *(const float *)b; return (x > y) - (x < y); }
static void report(void) {
  for (; reported < phase; reported++) {
    struct phase *p = &phases[reported];
    for (int k = 0; k < KINDS; k++) if (p->of[k].decided < p->of[k].sent) return;
    printf("{\"phase\":\"%s\",\"kinds\":{", p->name);
    for (int k = 0; k < KINDS; k++) {
      struct series *s = &p->of[k]; unsigned n = s->answered;
      qsort(s->ms, n, sizeof *s->ms, by_value);
      printf("%s\"%s\":{\"sent\":%u,\"answered\":%u,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", k ? "," : "", NAMES[k], s->sent, n,
        n ? s->ms[n / 2] : 0, n ? s->ms[(n - 1) * 99 / 100] : 0, n ? s->ms[n - 1] : 0);
      free(s->ms); s->ms = 0;
    }
    printf("}}\n"); fflush(stdout);
  }
}
static void decide(unsigned slot, int answered) {
  struct request *r = &requests[slot];
  struct series *s = &phases[r->phase].of[r->kind];
  if (!r->live) return;
  r->live = 0; s->decided++;
  if (answered) {
    if (s->answered == s->room) s->ms = realloc(s->ms, (s->room = s->room * 2 + 64) * sizeof *s->ms);
    s->ms[s->answered++] = (now_s() - r->at) * 1e3;
  }
  if (r->kind == TCP) {
    struct standing *c = &standing[r->standing]; c->slot = -1;
    if (!answered && c->fd >= 0) { close(c->fd); c->fd = -1; c->open = 0; }
  } else if (r->fd >= 0) { close(r->fd); r->fd = -1; }
  if (r->phase < phase) report();
}

// ---- requests ----
static void stamp(unsigned slot) { uint64_t v[2] = {MAGIC | slot, requests[slot].generation}; memcpy(payload, v, 16); }
static int stamped(const char *p, size_t len, enum kind kind) { // @returns its slot, or -1
  uint64_t v[2];
  if (len < 16) return -1;
  memcpy(v, p, 16);
  unsigned slot = v[0] & 0xffff;
  if ((v[0] & ~0xffffull) != MAGIC || slot >= SLOTS || !requests[slot].live || requests[slot].kind != kind || requests[slot].generation != v[1]) return -1;
  return slot;
}
static size_t question(unsigned slot) {
  static unsigned n; char *q = payload;
  static const char head[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  q[0] = slot >> 8; q[1] = slot; memcpy(q + 2, head, 10);
  int len = sprintf(q + 13, "s%u-%u", (unsigned)getpid(), n++);
  q[12] = len; len += 13;
  memcpy(q + len, "\4good\4test\0\0\1\0\1", 15);
  return len + 15;
}
static int hold(unsigned slot) {
  for (unsigned i = 0; i < STANDING; i++) {
    struct standing *c = &standing[i];
    if (c->slot >= 0 && c->fd >= 0) continue;
    requests[slot].standing = i;
    if (c->fd < 0) {
      if ((c->fd = dial(SOCK_STREAM, 0, &host)) < 0) return 0;
      c->open = 0; watch(c->fd, EPOLLIN | EPOLLOUT, HELD, i, EPOLL_CTL_ADD);
    }
    c->slot = slot;
    if (c->open) { stamp(slot); return write(c->fd, payload, 16) == 16; }
    return 1;
  }
  return 0;
}
static void ask(enum kind kind, double now) {
  unsigned slot = next_slot++ % SLOTS;
  struct request *r = &requests[slot];
  if (r->live) decide(slot, 0);
  *r = (struct request){1, kind, phase, r->generation + 1, -1, 0, now};
  phases[phase].of[kind].sent++;
  int sent = 0;
  if (kind == TCP) sent = hold(slot);
  else if (kind == CONNECT) {
    if ((sent = (r->fd = dial(SOCK_STREAM, 0, &host)) >= 0)) watch(r->fd, EPOLLOUT, OWN, slot, EPOLL_CTL_ADD);
  } else if (kind == UDP || kind == FRAGMENTS) {
    stamp(slot); sent = send(kind == UDP ? udp_fd : fragment_fd, payload, kind == UDP ? 64 : 4000, 0) > 0;
  } else if (kind == BINDING) {
    static unsigned n; unsigned i = n++ / 10 % BINDINGS;
    if (n % 10 == 1) {
      if (bindings[i] > 0) close(bindings[i]);
      if ((bindings[i] = dial(SOCK_DGRAM, 0, &host)) > 0) watch(bindings[i], EPOLLIN, SHARED, KINDS + i, EPOLL_CTL_ADD);
    }
    stamp(slot); sent = bindings[i] > 0 && send(bindings[i], payload, 64, 0) > 0;
  } else if (kind == DNS) {
    if ((r->fd = dial(SOCK_DGRAM, 0, &gateway)) >= 0) {
      watch(r->fd, EPOLLIN, OWN, slot, EPOLL_CTL_ADD);
      sent = send(r->fd, payload, question(slot), 0) > 0;
    }
  } else {
    char packet[40] = {8}; // the kernel writes checksum and identifier
    stamp(slot); memcpy(packet + 8, payload, 16); sent = send(ping_fd, packet, sizeof packet, 0) > 0;
  }
  if (!sent) decide(slot, 0);
}

// ---- answers ----
static void on_own(unsigned slot, uint32_t events) {
  struct request *r = &requests[slot]; char b[2048];
  if (!r->live || r->fd < 0) return;
  if (r->kind == CONNECT && events & EPOLLOUT && !(events & (EPOLLERR | EPOLLHUP))) {
    stamp(slot);
    if (write(r->fd, payload, 16) == 16) { watch(r->fd, EPOLLIN, OWN, slot, EPOLL_CTL_MOD); return; }
  }
  ssize_t n = read(r->fd, b, sizeof b);
  if (r->kind == DNS) { // rcode 0 and an answer
    decide(slot, n > 12 && b[0] == (char)(slot >> 8) && b[1] == (char)slot && !(b[3] & 15) && (b[6] | b[7]));
  } else decide(slot, stamped(b, n < 0 ? 0 : n, r->kind) == (int)slot);
}
static void on_held(unsigned i, uint32_t events) {
  struct standing *c = &standing[i]; char b[256];
  if (c->fd < 0) return;
  if (events & EPOLLOUT && !(events & (EPOLLERR | EPOLLHUP)) && !c->open) {
    c->open = 1; watch(c->fd, EPOLLIN, HELD, i, EPOLL_CTL_MOD);
    if (c->slot >= 0) { stamp(c->slot); if (write(c->fd, payload, 16) != 16) decide(c->slot, 0); }
    return;
  }
  ssize_t n = read(c->fd, b, sizeof b);
  if (n > 0) { int slot = stamped(b, n, TCP); if (slot >= 0) decide(slot, 1); return; }
  if (n < 0 && errno == EAGAIN) return;
  if (c->slot >= 0) decide(c->slot, 0); else { close(c->fd); c->fd = -1; c->open = 0; }
}
static void on_shared(int fd, enum kind kind) {
  char b[65536]; ssize_t n;
  while ((n = recv(fd, b, sizeof b, 0)) > 0) {
    size_t o = kind == PING ? 8 : 0;
    int slot = stamped(b + o, (size_t)n < o ? 0 : n - o, kind);
    if (slot >= 0) decide(slot, 1);
  }
}
static void expire(double now) {
  for (; oldest != next_slot; oldest++) {
    struct request *r = &requests[oldest % SLOTS];
    if (!r->live) continue;
    if (now - r->at < DEADLINE) return;
    decide(oldest % SLOTS, 0);
  }
}
static void on_input(void) {
  static char line[64]; static size_t have; char c;
  for (;;) {
    ssize_t n = read(0, &c, 1);
    if (n == 0) exit(0);
    if (n < 0) return;
    if (c != '\n') { if (have < sizeof line - 1) line[have++] = c; continue; }
    line[have] = 0; have = 0;
    if (phase + 1 < PHASES) strcpy(phases[++phase].name, line);
    report();
  }
}

int main(int argc, char **argv) {
  if (argc < 5) { fprintf(stderr, "steady HOST PORT GATEWAY RATE\n"); return 2; }
  struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
  host = gateway = (struct sockaddr_in){.sin_family = AF_INET};
  host.sin_port = htons(atoi(argv[2])); gateway.sin_port = htons(53);
  if (!inet_aton(argv[1], &host.sin_addr) || !inet_aton(argv[3], &gateway.sin_addr)) die("address");
  ep = epoll_create1(0);
  for (int i = 0; i < STANDING; i++) standing[i] = (struct standing){-1, 0, -1};
  udp_fd = dial(SOCK_DGRAM, 0, &host); fragment_fd = dial(SOCK_DGRAM, 0, &host); ping_fd = dial(SOCK_DGRAM, IPPROTO_ICMP, &host);
  if (udp_fd < 0 || fragment_fd < 0 || ping_fd < 0) die("connect");
  int pmtu = IP_PMTUDISC_DONT; setsockopt(fragment_fd, IPPROTO_IP, IP_MTU_DISCOVER, &pmtu, sizeof pmtu);
  watch(udp_fd, EPOLLIN, SHARED, UDP, EPOLL_CTL_ADD); watch(fragment_fd, EPOLLIN, SHARED, FRAGMENTS, EPOLL_CTL_ADD); watch(ping_fd, EPOLLIN, SHARED, PING, EPOLL_CTL_ADD);
  fcntl(0, F_SETFL, O_NONBLOCK); watch(0, EPOLLIN, INPUT, 0, EPOLL_CTL_ADD);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  long step = 1000000000L / (atoi(argv[4]) * KINDS);
  struct itimerspec every = {{step / 1000000000L, step % 1000000000L}, {0, 1000}};
  timerfd_settime(timer, 0, &every, 0); watch(timer, EPOLLIN, TICK, 0, EPOLL_CTL_ADD);
  strcpy(phases[0].name, "start");
  struct epoll_event ev[64]; unsigned turn = 0;
  for (;;) {
    int n = epoll_wait(ep, ev, 64, 100);
    for (int i = 0; i < n; i++) {
      uint32_t index = ev[i].data.u64; uint64_t ticks;
      switch ((enum source)(ev[i].data.u64 >> 32)) {
        case TICK: if (read(timer, &ticks, 8) == 8) while (ticks--) ask(turn++ % KINDS, now_s()); break;
        case INPUT: on_input(); break;
        case SHARED: 
          if (index >= KINDS) on_shared(bindings[index - KINDS], BINDING);
          else on_shared(index == UDP ? udp_fd : index == FRAGMENTS ? fragment_fd : ping_fd, index);
          break;
        case OWN: on_own(index, ev[i].events); break;
        case HELD: on_held(index, ev[i].events); break;
      }
    }
    expire(now_s());
  }
}
