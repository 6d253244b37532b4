/*
 * Gives the listening sockets of a process on a port the filter that Docker Engine 29 gives its own where its
 * userland proxy is off: every segment is dropped, so that only what iptables translates is answered.
 *
 *     drop-all PID PORT      prints how many there were
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIDFD_OPEN 434
#define PIDFD_GETFD 438
#define FDS_MAX 1024

static int is_listener(int fd, int port) {
  struct sockaddr_in6 name = {0};
  socklen_t len = sizeof name;
  int listens = 0;
  socklen_t size = sizeof listens;
  if (getsockname(fd, (struct sockaddr *)&name, &len) < 0) return 0;
  if (name.sin6_family != AF_INET && name.sin6_family != AF_INET6) return 0;
  if (ntohs(name.sin6_port) != port) return 0; /* where sockaddr_in has it, too */
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

int main(int argc, char **argv) {
  struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {.len = 1, .filter = &drop};
  int found = 0;
  if (argc != 3) return 2;
  int process = syscall(PIDFD_OPEN, atoi(argv[1]), 0);
  if (process < 0) {
    perror("pidfd_open");
    return 1;
  }
  for (int number = 0; number < FDS_MAX; number++) {
    int fd = syscall(PIDFD_GETFD, process, number, 0);
    if (fd < 0) continue;
    if (is_listener(fd, atoi(argv[2]))) {
      if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) {
        perror("SO_ATTACH_FILTER");
        return 1;
      }
      found++;
    }
    close(fd);
  }
  printf("%d\n", found);
  return 0;
}
