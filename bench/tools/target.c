// target: servers that attacks are aimed at. Built on demand: gcc -O2 -o target target.c
//
//   target dns PORT      answers A of any name with 198.18.0.53, TTL 0; never names whose second label is "mute". UDP
//   target source PORT   sends to each TCP connection for ever, and reads nothing
//   target hoard PORT COUNT   keeps so many connections to 127.0.0.1:PORT, and opens those again that end
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what) { fprintf(stderr, "target: %s: %s\n", what, strerror(errno)); exit(1); }
static int bound(int type, int port) {
  int fd = socket(AF_INET, type, 0), one = 1, size = 8 << 20;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (type == SOCK_DGRAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (bind(fd, (void *)&a, sizeof a)) die("bind");
  return fd;
}
static _Noreturn void dns(int port) {
  static const uint8_t answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 198, 18, 0, 53};
  int fd = bound(SOCK_DGRAM, port);
  for (;;) {
    uint8_t q[1500]; struct sockaddr_in from; socklen_t size = sizeof from;
    ssize_t n = recvfrom(fd, q, sizeof q - sizeof answer, 0, (void *)&from, &size);
    if (n < 17 || q[2] & 0x80) continue;
    ssize_t end = 12;
    while (end < n && q[end]) end += q[end] + 1;
    if (end + 5 > n) continue;
    const uint8_t *second = q + 13 + q[12];
    if (second + 5 <= q + n && !memcmp(second, "\4mute", 5)) continue;
    int is_a = q[end + 1] == 0 && q[end + 2] == 1;
    q[2] = 0x81; q[3] = 0x80; q[6] = 0; q[7] = is_a; memset(q + 8, 0, 4); // OPT is not echoed
    n = end + 5;
    if (is_a) { memcpy(q + n, answer, sizeof answer); n += sizeof answer; }
    sendto(fd, q, n, 0, (void *)&from, size);
  }
}
static _Noreturn void source(int port) {
  static char data[65536]; struct epoll_event e = {EPOLLIN, {.fd = 0}}, ev[64];
  int l = bound(SOCK_STREAM, port), ep = epoll_create1(0);
  if (listen(l, 4096)) die("listen");
  e.data.fd = l; epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
  for (;;) {
    int n = epoll_wait(ep, ev, 64, -1);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd;
      if (fd == l) {
        if ((fd = accept4(l, 0, 0, SOCK_NONBLOCK)) < 0) continue;
        e = (struct epoll_event){EPOLLOUT, {.fd = fd}}; epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
      } else if (ev[i].events & (EPOLLERR | EPOLLHUP) || (write(fd, data, sizeof data) < 0 && errno != EAGAIN)) close(fd);
    }
  }
}
static _Noreturn void hoard(int port, unsigned count) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct epoll_event ev[64]; int ep = epoll_create1(0);
  for (unsigned held = 0;;) {
    for (int i = 0; i < 256 && held < count; i++) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (fd < 0) break;
      if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS) { close(fd); break; }
      struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLET, {.fd = fd}};
      epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e); held++;
    }
    int n = epoll_wait(ep, ev, 64, 10);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd; char b[64]; ssize_t got = 1;
      if (ev[i].events & EPOLLIN) while ((got = read(fd, b, sizeof b)) > 0) {}
      if (ev[i].events & (EPOLLERR | EPOLLHUP) || got == 0) { close(fd); held--; }
      else if (!(ev[i].events & EPOLLIN) && write(fd, "x", 1) < 0) {}
    }
  }
}
int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && !strcmp(argv[1], "dns")) dns(atoi(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "source")) source(atoi(argv[2]));
  if (argc == 4 && !strcmp(argv[1], "hoard")) hoard(atoi(argv[2]), atoi(argv[3]));
  fprintf(stderr, "target dns PORT | source PORT | hoard PORT COUNT\n");
  return 2;
}
