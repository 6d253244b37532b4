/*
 * The guest's part of the vsock tests: a program for the initramfs, linked statically.
 *
 *   vsock-guest serve           services on the ports below, announced by a connection to READY of
 *                               the host, until one connects to QUIT
 *   vsock-guest talk PORT TEXT  to the host: send TEXT, shut down, print what comes until the end
 *   vsock-guest send PORT N     to the host: send N bytes of the pattern, print the sum it answers
 *   vsock-guest many PORT N     to the host: N connections at once, an echo on each
 *   vsock-guest fail PORT       to the host: send a byte, print how the connection ends
 *
 * The pattern: byte i is (j ^ (j >> 8) ^ (j >> 16)) & 255 with j = i mod 1048573. Sums: h = h * 31 +
 * byte, modulo 2^32.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

enum { ECHO = 1000, SUM = 1001, SOURCE = 1002, SINK = 1003, SLOW = 1004, STUCK = 1005, QUIT = 1009 };
enum { READY = 2000 };
#define CHUNK 65536

/* Not a multiple of a page or a packet. */
static unsigned char pattern_bytes[1048573];
static unsigned char buffer[CHUNK];

static void make_pattern(void) {
  for (size_t i = 0; i < sizeof pattern_bytes; i++) pattern_bytes[i] = i ^ (i >> 8) ^ (i >> 16);
}

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_all(int fd, const unsigned char *bytes, size_t len) {
  while (len > 0) {
    ssize_t put = write(fd, bytes, len);
    if (put < 0) die("write");
    bytes += put;
    len -= put;
  }
}

static void send_pattern(int fd, uint64_t len) {
  for (uint64_t at = 0; at < len;) {
    size_t off = at % sizeof pattern_bytes;
    size_t part = sizeof pattern_bytes - off < CHUNK ? sizeof pattern_bytes - off : CHUNK;
    if (part > len - at) part = len - at;
    write_all(fd, pattern_bytes + off, part);
    at += part;
  }
}

static int dial(unsigned port) {
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  return fd;
}

static void serve_one(unsigned port, int fd) {
  ssize_t got;
  uint64_t total = 0;
  uint32_t sum = 0;
  if (port == STUCK) pause();
  if (port == SOURCE) {
    if (read(fd, &total, 8) != 8) die("source");
    send_pattern(fd, total);
    return;
  }
  while ((got = read(fd, buffer, port == SLOW ? 1000 : CHUNK)) > 0) {
    total += got;
    if (port == ECHO) write_all(fd, buffer, got);
    if (port == SLOW && total % 50000 == 0) usleep(1000);
    if (port == SUM || port == SLOW)
      for (ssize_t i = 0; i < got; i++) sum = sum * 31 + buffer[i];
  }
  if (port != ECHO) {
    memcpy(buffer, &total, 8);
    memcpy(buffer + 8, &sum, 4);
    write_all(fd, buffer, 12);
  }
}

static int listen_on(unsigned port) {
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  struct sockaddr_vm at = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
  if (fd < 0) die("socket");
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 512) < 0) die("listen");
  return fd;
}

static void serve(void) {
  static const unsigned ports[] = { ECHO, SUM, SOURCE, SINK, SLOW, STUCK };
  signal(SIGCHLD, SIG_IGN);
  int quit = listen_on(QUIT);
  for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
    int listener = listen_on(ports[i]);
    if (fork() != 0) continue;
    for (;;) {
      int fd = accept(listener, NULL, NULL);
      if (fd < 0) die("accept");
      if (fork() == 0) {
        serve_one(ports[i], fd);
        exit(0);
      }
      close(fd);
    }
  }
  close(dial(READY));
  accept(quit, NULL, NULL);
}

static void talk(unsigned port, const char *text) {
  int fd = dial(port);
  ssize_t got;
  write_all(fd, (const unsigned char *)text, strlen(text));
  shutdown(fd, SHUT_WR);
  printf("answer=");
  while ((got = read(fd, buffer, CHUNK)) > 0) fwrite(buffer, 1, got, stdout);
  printf(" last=%zd\n", got);
}

static void send_sum(unsigned port, uint64_t len) {
  int fd = dial(port);
  uint32_t sum;
  send_pattern(fd, len);
  shutdown(fd, SHUT_WR);
  if (read(fd, &sum, 4) != 4) die("read");
  printf("sum=%u\n", sum);
}

static void many(unsigned port, int count) {
  int fds[1024], good = 0;
  uint32_t back;
  for (int i = 0; i < count; i++) fds[i] = dial(port);
  for (uint32_t i = 0; i < (uint32_t)count; i++) write_all(fds[i], (unsigned char *)&i, 4);
  for (int i = count - 1; i >= 0; i--)
    if (read(fds[i], &back, 4) == 4 && back == (uint32_t)i) good++;
  printf("good=%d\n", good);
}

static void fail(unsigned port) {
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
    printf("connect=%d\n", errno);
    return;
  }
  write_all(fd, (const unsigned char *)"x", 1);
  ssize_t got = read(fd, buffer, CHUNK);
  int read_errno = got < 0 ? errno : 0;
  signal(SIGPIPE, SIG_IGN);
  ssize_t put = write(fd, "x", 1);
  printf("read=%zd read_errno=%d write_errno=%d\n", got, read_errno, put < 0 ? errno : 0);
}

int main(int argc, char **argv) {
  make_pattern();
  const char *what = argc > 1 ? argv[1] : "";
  unsigned port = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  if (strcmp(what, "serve") == 0) serve();
  else if (strcmp(what, "talk") == 0) talk(port, argv[3]);
  else if (strcmp(what, "send") == 0) send_sum(port, strtoull(argv[3], NULL, 10));
  else if (strcmp(what, "many") == 0) many(port, atoi(argv[3]));
  else if (strcmp(what, "fail") == 0) fail(port);
  else return 2;
  return 0;
}
