// Load generator of the benchmarks and the system tests. Built on demand: gcc -O2 -o netbench netbench.c
// netbench: small TCP/UDP latency, connection-rate and connection-holding tool.
//   netbench srv PORT                 epoll TCP echo + UDP echo on PORT of every address
//   netbench rr   HOST PORT SECS [SIZE]    TCP ping-pong, one connection
//   netbench udprr HOST PORT SECS [SIZE]   UDP ping-pong (200 ms timeout = a loss)
//   netbench crr  HOST PORT SECS CONC      connect, 1 byte there and back, close
//   netbench hold HOST PORT N              open N connections, print "held", wait for EOF on stdin
//   netbench probe HOST PORT TIMEOUT_MS    retry until a byte came back; prints ms
// Every client prints one JSON line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
static void die(const char *s) { printf("{\"error\":\"%s: %s\"}\n", s, strerror(errno)); exit(1); }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
typedef union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } end;
static end addr(const char *h, int p) {
  end a = {.v4 = {.sin_family = AF_INET, .sin_port = htons(p)}};
  if (inet_pton(AF_INET, h, &a.v4.sin_addr) == 1) return a;
  a = (end){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(p)}};
  inet_pton(AF_INET6, h, &a.v6.sin6_addr); return a; }
static socklen_t len(const end *a) { return a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6; }
static int bound(const end *a, int type) {
  int one = 1, s = socket(a->any.sa_family, type | SOCK_NONBLOCK, 0);
  if (s < 0) return -1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (a->any.sa_family == AF_INET6) setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (bind(s, &a->any, len(a)) || (type == SOCK_STREAM && listen(s, 4096))) die("bind");
  return s; }
#define NSAMP (1 << 22)
static uint32_t *samp; static size_t ns;
static void add(double us) { if (ns < NSAMP) samp[ns++] = us * 100 > 4e9 ? 4e9 : us * 100; }
static int cmp(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return x < y ? -1 : x > y; }
static double pct(double p) { return ns ? samp[(size_t)((ns - 1) * p)] / 100.0 : 0; }
static void out(double secs, unsigned long lost) {
  double sum = 0; for (size_t i = 0; i < ns; i++) sum += samp[i];
  double mean = ns ? sum / ns / 100 : 0;
  qsort(samp, ns, 4, cmp);
  printf("{\"n\":%zu,\"rate\":%.1f,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"failed\":%lu}\n",
         ns, ns / secs, mean, pct(.5), pct(.99), pct(1), lost);
}
static int srv(int port) {
  static const char *const any[] = {"0.0.0.0", "::"}; // on a machine without IPv6: the first alone
  int l[2], u[2], one = 1, ep = epoll_create1(0); struct epoll_event e = {EPOLLIN, {0}}, ev[256];
  for (int i = 0; i < 2; i++) {
    end a = addr(any[i], port);
    l[i] = bound(&a, SOCK_STREAM); u[i] = bound(&a, SOCK_DGRAM);
    if (l[i] < 0 || u[i] < 0) continue;
    e.data.fd = l[i]; epoll_ctl(ep, EPOLL_CTL_ADD, l[i], &e); e.data.fd = u[i]; epoll_ctl(ep, EPOLL_CTL_ADD, u[i], &e);
  }
  static char buf[65536];
  for (;;) {
    int n = epoll_wait(ep, ev, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd;
      if (fd == l[0] || fd == l[1]) { int s; while ((s = accept4(fd, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          e.events = EPOLLIN; e.data.fd = s; epoll_ctl(ep, EPOLL_CTL_ADD, s, &e); } }
      else if (fd == u[0] || fd == u[1]) { end f; socklen_t fl = sizeof f; ssize_t r;
        while ((r = recvfrom(fd, buf, sizeof buf, 0, (void *)&f, &fl)) >= 0) { sendto(fd, buf, r, 0, (void *)&f, fl); fl = sizeof f; } }
      else { ssize_t r = read(fd, buf, sizeof buf);
        if (r > 0) { if (write(fd, buf, r) < 0) close(fd); }
        else if (r == 0 || errno != EAGAIN) close(fd); }
    }
  }
}
static int rr(const char *h, int p, double secs, int size) {
  end a = addr(h, p); int s = socket(a.any.sa_family, SOCK_STREAM, 0), one = 1;
  if (connect(s, &a.any, len(&a))) die("connect");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char *b = calloc(1, size); double t0 = now(), t = t0, end = t0 + secs;
  while (t < end) {
    if (write(s, b, size) != size) die("write");
    int g = 0; while (g < size) { ssize_t r = read(s, b, size - g); if (r <= 0) die("read"); g += r; }
    double u = now(); add((u - t) * 1e6); t = u;
  }
  out(t - t0, 0); return 0;
}
static int udprr(const char *h, int p, double secs, int size) {
  end a = addr(h, p); int s = socket(a.any.sa_family, SOCK_DGRAM, 0);
  if (connect(s, &a.any, len(&a))) die("connect");
  struct timeval tv = {0, 200000}; setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  char *b = calloc(1, size < 8 ? 8 : size), r[65536]; unsigned long lost = 0; uint32_t seq = 0;
  double t0 = now(), t = t0, end = t0 + secs;
  while (t < end) {
    seq++; memcpy(b, &seq, 4); send(s, b, size < 4 ? 4 : size, 0);
    for (;;) { ssize_t n = recv(s, r, sizeof r, 0); uint32_t q;
      if (n < 0) { lost++; break; } memcpy(&q, r, 4); if (q == seq) { add((now() - t) * 1e6); break; } }
    t = now();
  }
  out(t - t0, lost); return 0;
}
static int crr(const char *h, int p, double secs, int conc) {
  end a = addr(h, p); int ep = epoll_create1(0), live = 0; unsigned long fail = 0;
  double *st = calloc(65536, sizeof *st); struct epoll_event e, ev[256];
  double t0 = now(), end = t0 + secs, t = t0; char b[16] = "x";
  for (;;) {
    t = now();
    while (live < conc && t < end) {
      int s = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0); if (s < 0) die("socket");
      if (connect(s, &a.any, len(&a)) && errno != EINPROGRESS) { close(s); fail++; if (fail > 100000) die("connect"); t = now(); continue; }
      st[s] = now(); e.events = EPOLLOUT; e.data.u64 = s; epoll_ctl(ep, EPOLL_CTL_ADD, s, &e); live++;
    }
    if (t >= end + 1 || (t >= end && !live)) break;
    int n = epoll_wait(ep, ev, 256, 100);
    for (int i = 0; i < n; i++) {
      int s = ev[i].data.u64; 
      if (ev[i].events & EPOLLIN) { ssize_t r = read(s, b, 1); if (r == 1) { if (now() < end) add((now() - st[s]) * 1e6); } else fail++; close(s); live--; }
      else if (ev[i].events & (EPOLLERR | EPOLLHUP)) { fail++; close(s); live--; }
      else { if (write(s, b, 1) != 1) { fail++; close(s); live--; continue; } e.events = EPOLLIN; e.data.u64 = s; epoll_ctl(ep, EPOLL_CTL_MOD, s, &e); }
    }
  }
  out(secs, fail + live); return 0;
}
static int hold(const char *h, int p, int n) {
  end a = addr(h, p); int ok = 0; char b;
  struct timeval tv = {3, 0}; double t0 = now();
  for (int i = 0; i < n; i++) {
    int s = socket(a.any.sa_family, SOCK_STREAM, 0); if (s < 0) die("socket");
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv); setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    if (connect(s, &a.any, len(&a))) continue;
    if (write(s, "x", 1) == 1 && read(s, &b, 1) == 1) ok++;
  }
  printf("{\"held\":%d,\"asked\":%d,\"secs\":%.3f}\n", ok, n, now() - t0); fflush(stdout);
  while (read(0, &b, 1) > 0) {}
  return 0;
}
static int probe(const char *h, int p, int ms) {
  double t0 = now(); end a = addr(h, p); int tries = 0;
  while ((now() - t0) * 1e3 < ms) {
    int s = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0); char b; tries++;
    int r = connect(s, &a.any, len(&a));
    if (r == 0 || errno == EINPROGRESS) {
      struct pollfd pf = {s, POLLOUT, 0};
      if (poll(&pf, 1, 50) == 1 && write(s, "x", 1) == 1) { pf.events = POLLIN; if (poll(&pf, 1, 200) == 1 && read(s, &b, 1) == 1) {
        printf("{\"ms\":%.2f,\"tries\":%d}\n", (now() - t0) * 1e3, tries); return 0; } }
    }
    close(s); usleep(1000);
  }
  printf("{\"error\":\"timeout\",\"tries\":%d}\n", tries); return 1;
}
int main(int c, char **v) {
  struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl); signal(SIGPIPE, SIG_IGN);
  samp = malloc(NSAMP * 4UL);
  if (c > 2 && !strcmp(v[1], "srv")) return srv(atoi(v[2]));
  if (c < 5) return 2;
  if (!strcmp(v[1], "rr")) return rr(v[2], atoi(v[3]), atof(v[4]), c > 5 ? atoi(v[5]) : 1);
  if (!strcmp(v[1], "udprr")) return udprr(v[2], atoi(v[3]), atof(v[4]), c > 5 ? atoi(v[5]) : 16);
  if (!strcmp(v[1], "crr")) return crr(v[2], atoi(v[3]), atof(v[4]), c > 5 ? atoi(v[5]) : 1);
  if (!strcmp(v[1], "hold")) return hold(v[2], atoi(v[3]), atoi(v[4]));
  if (!strcmp(v[1], "probe")) return probe(v[2], atoi(v[3]), atoi(v[4]));
  return 2;
}
