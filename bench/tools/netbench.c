// Load generator of the benchmarks and the system tests. Built on demand: gcc -O2 -o netbench netbench.c
// netbench: small TCP/UDP latency, connection-rate and connection-holding tool.
//   netbench srv PORT                 epoll TCP echo + UDP echo on 0.0.0.0:PORT
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
static struct sockaddr_in addr(const char *h, int p) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p)};
  inet_pton(AF_INET, h, &a.sin_addr); return a; }
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
  int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = addr("0.0.0.0", port);
  if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) die("listen");
  int u = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (bind(u, (void *)&a, sizeof a)) die("bind udp");
  int ep = epoll_create1(0); struct epoll_event e = {EPOLLIN, {.fd = l}}, ev[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, l, &e); e.data.fd = u; epoll_ctl(ep, EPOLL_CTL_ADD, u, &e);
  static char buf[65536];
  for (;;) {
    int n = epoll_wait(ep, ev, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd;
      if (fd == l) { int s; while ((s = accept4(l, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          e.events = EPOLLIN; e.data.fd = s; epoll_ctl(ep, EPOLL_CTL_ADD, s, &e); } }
      else if (fd == u) { struct sockaddr_in f; socklen_t fl = sizeof f; ssize_t r;
        while ((r = recvfrom(u, buf, sizeof buf, 0, (void *)&f, &fl)) >= 0) { sendto(u, buf, r, 0, (void *)&f, fl); fl = sizeof f; } }
      else { ssize_t r = read(fd, buf, sizeof buf);
        if (r > 0) { if (write(fd, buf, r) < 0) close(fd); }
        else if (r == 0 || errno != EAGAIN) close(fd); }
    }
  }
}
static int rr(const char *h, int p, double secs, int size) {
  struct sockaddr_in a = addr(h, p); int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (connect(s, (void *)&a, sizeof a)) die("connect");
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
  struct sockaddr_in a = addr(h, p); int s = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(s, (void *)&a, sizeof a)) die("connect");
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
  struct sockaddr_in a = addr(h, p); int ep = epoll_create1(0), live = 0; unsigned long fail = 0;
  double *st = calloc(65536, sizeof *st); struct epoll_event e, ev[256];
  double t0 = now(), end = t0 + secs, t = t0; char b[16] = "x";
  for (;;) {
    t = now();
    while (live < conc && t < end) {
      int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); if (s < 0) die("socket");
      if (connect(s, (void *)&a, sizeof a) && errno != EINPROGRESS) { close(s); fail++; if (fail > 100000) die("connect"); t = now(); continue; }
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
  struct sockaddr_in a = addr(h, p); int ok = 0; char b;
  struct timeval tv = {3, 0}; double t0 = now();
  for (int i = 0; i < n; i++) {
    int s = socket(AF_INET, SOCK_STREAM, 0); if (s < 0) die("socket");
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv); setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    if (connect(s, (void *)&a, sizeof a)) continue;
    if (write(s, "x", 1) == 1 && read(s, &b, 1) == 1) ok++;
  }
  printf("{\"held\":%d,\"asked\":%d,\"secs\":%.3f}\n", ok, n, now() - t0); fflush(stdout);
  while (read(0, &b, 1) > 0) {}
  return 0;
}
static int probe(const char *h, int p, int ms) {
  double t0 = now(); struct sockaddr_in a = addr(h, p); int tries = 0;
  while ((now() - t0) * 1e3 < ms) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); char b; tries++;
    int r = connect(s, (void *)&a, sizeof a);
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
