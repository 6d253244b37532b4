// tapbridge: moves Ethernet frames between a TAP device inside a network namespace and a QEMU
// "stream" Unix socket (4-byte big-endian length before each frame), or another kind. It stands where QEMU would, so
// that a guest can be a kernel in a namespace. Built on demand: gcc -O2 -pthread -o tapbridge tapbridge.c
//
//   tapbridge -n /run/netns/NAME -t TAP -m MTU (-c|-l) SOCKET [-b SOCKBUF] [-r RETRY_MS] [-R]
//             [-N] [-k KIND [-o OWN] [-O]] [-I LOSS_PERMILLE,DELAY_US,JITTER_US,REORDER_PERMILLE,SEED] [-F qemu|u16|vmn3t[=UUID]]
//   tapbridge -n ... -t ... -m ... (-s FD | -x PROGRAM ARGUMENTS...)
//
// -k: a socket on which each message is a frame, to be connected to (-c):
//   bess   SOCK_SEQPACKET
//   vfkit  SOCK_DGRAM bound to OWN and connected, which says VFKT first
//   dgram  SOCK_DGRAM bound to OWN, not connected, as QEMU's "dgram" with two paths
//   fd     one end of a pair of SOCK_DGRAM, passed over a stream socket, as Lima does
// -N receives as network cards do: frames that come together are merged before the kernel handles them (NAPI, GRO, with
// an interrupt's delay of 20 us), where a TAP by itself handles each on its own.
// -O leaves checksums and segmentation to the other side without saying what is undone, as libkrun does.
//
// -c connects (hawser, passt and gvproxy listen), -l listens, -s takes a descriptor, -x starts a program and speaks to its
// standard input and output, by pipes. -F is how frames are delimited: as QEMU does; by a length of 16 bits,
// little-endian; or so after VPNKit's handshake, whose Ethernet address the TAP takes on. -R reconnects whenever the peer goes
// away. -I impairs both directions: frames are lost at random, delayed, and some are held back by
// another DELAY_US, so that later ones overtake them; jitter alone never reorders.
//
// Two threads, one per direction; each drains what is ready into one big buffer and passes it on
// with one send() (socket) or one write() per frame (a TAP takes one frame a call). Prints "ready" on
// stderr when the first connection stands and one JSON line of counters on SIGTERM, SIGINT or EOF; "tap2sock_full" of
// messages that the socket had no room for at first.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAXF 65550
#define BUFSZ (1024 * 1024)
#define QUEUE 8192 // frames under way in one impaired direction; more are lost, as on a real wire

static int tapfd, ctl, sk = -1, wk = -1, hl = 4, vmn3t, listener = -1, reconnect, listenmode, bufsz = 1 << 20, retry = 5000, vnet, napi;
static const char *path, *own, *kind, *uuid, *tap = "tap0";
static struct sockaddr_un peer = {.sun_family = AF_UNIX};
static size_t batch_limit = 256 * 1024;
static volatile unsigned long long t2s_f, t2s_b, t2s_calls, s2t_f, s2t_b, s2t_calls, s2t_err, lost, late, t2s_full;
static unsigned loss_pm, delay_us, jitter_us, reorder_pm, seed = 1;

static void die(const char *s) { perror(s); exit(1); }
static void report(int sig) {
  char b[512];
  (void)sig;
  int n = snprintf(b, sizeof b,
    "{\"tap2sock_frames\":%llu,\"tap2sock_bytes\":%llu,\"tap2sock_sends\":%llu,"
    "\"sock2tap_frames\":%llu,\"sock2tap_bytes\":%llu,\"sock2tap_recvs\":%llu,\"sock2tap_err\":%llu,"
    "\"lost\":%llu,\"reordered\":%llu,\"tap2sock_full\":%llu}\n",
    t2s_f, t2s_b, t2s_calls, s2t_f, s2t_b, s2t_calls, s2t_err, lost, late, t2s_full);
  if (write(1, b, n) < 0) {}
  _exit(0);
}
static uint64_t now_us(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// ---- how frames are delimited ----
static void put_len(uint8_t *at, uint32_t len) {
  if (hl == 2) { at[0] = len & 255; at[1] = len >> 8; return; }
  len = htonl(len); memcpy(at, &len, 4);
}
static uint32_t get_len(const uint8_t *at) {
  uint32_t len;
  if (hl == 2) return at[0] | at[1] << 8;
  memcpy(&len, at, 4); return ntohl(len);
}
// As VPNKit's own C client does: whole structures, whatever they hold.
static int read_all(int s, uint8_t *buf, size_t len) {
  for (size_t o = 0; o < len;) {
    ssize_t n = read(s, buf + o, len - o);
    if (n <= 0) { if (n < 0 && errno == EINTR) continue; return -1; }
    o += n;
  }
  return 0;
}
static int greet(int s) {
  uint8_t init[49] = "VMN3T", cmd[41] = {1}, vif[258];
  init[5] = 22;
  if (uuid) memcpy(cmd + 1, uuid, strnlen(uuid, 36));
  if (write(s, init, sizeof init) != sizeof init || read_all(s, init, sizeof init)) return -1;
  if (memcmp(init, "VMN3T\x16\0\0\0", 9)) { fprintf(stderr, "another version\n"); return -1; }
  if (write(s, cmd, sizeof cmd) != sizeof cmd || read_all(s, vif, sizeof vif)) return -1;
  if (vif[0] != 1) { fprintf(stderr, "refused: %.*s\n", vif[1], vif + 2); return -1; }
  struct ifreq ifr; memset(&ifr, 0, sizeof ifr);
  strncpy(ifr.ifr_name, tap, IFNAMSIZ - 1);
  ifr.ifr_hwaddr.sa_family = 1; memcpy(ifr.ifr_hwaddr.sa_data, vif + 5, 6);
  if (ioctl(ctl, SIOCSIFHWADDR, &ifr)) die("SIOCSIFHWADDR");
  return 0;
}

// ---- the socket ----
#define VNET_LEN 10
static void set_buffers(int s) {
  if (setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bufsz, sizeof bufsz)) setsockopt(s, SOL_SOCKET, SO_SNDBUF, &bufsz, sizeof bufsz);
  if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bufsz, sizeof bufsz)) setsockopt(s, SOL_SOCKET, SO_RCVBUF, &bufsz, sizeof bufsz);
}
static int pass_pair(int s) {
  int pair[2]; char byte = 0; struct iovec iov = {&byte, 1};
  union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) die("socketpair");
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS; c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &pair[1], sizeof(int));
  if (sendmsg(s, &m, 0) != 1) die("pass");
  close(s); close(pair[1]);
  return pair[0];
}
static int try_messages(void) {
  int packet = !strcmp(kind, "bess"), stream = !strcmp(kind, "fd");
  int s = socket(AF_UNIX, packet ? SOCK_SEQPACKET : stream ? SOCK_STREAM : SOCK_DGRAM, 0);
  strncpy(peer.sun_path, path, sizeof peer.sun_path - 1);
  if (own) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    strncpy(sa.sun_path, own, sizeof sa.sun_path - 1); unlink(own);
    if (bind(s, (void *)&sa, sizeof sa)) die("bind");
  }
  if (!strcmp(kind, "dgram")) return s;
  if (connect(s, (void *)&peer, sizeof peer)) { close(s); return -1; }
  if (stream) return pass_pair(s);
  if (!strcmp(kind, "vfkit") && send(s, "VFKT", 4, 0) != 4) die("hello");
  return s;
}
static int dial_messages(void) {
  int s;
  for (int i = 0; (s = try_messages()) < 0; i++) {
    if (i > retry && !reconnect) die("connect");
    struct timespec ts = {0, 1000000}; nanosleep(&ts, 0);
  }
  set_buffers(s);
  return s;
}
static int dial_once(void) {
  if (kind) return dial_messages();
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  strncpy(sa.sun_path, path, sizeof sa.sun_path - 1);
  int s;
  if (listenmode) {
    if (listener < 0) {
      listener = socket(AF_UNIX, SOCK_STREAM, 0); unlink(path);
      if (bind(listener, (void *)&sa, sizeof sa) || listen(listener, 1)) die("listen");
    }
    if ((s = accept(listener, 0, 0)) < 0) die("accept");
  } else {
    for (int i = 0;; i++) {
      s = socket(AF_UNIX, SOCK_STREAM, 0);
      if (!connect(s, (void *)&sa, sizeof sa)) break;
      close(s);
      if (i > retry && !reconnect) die("connect");
      struct timespec ts = {0, 1000000}; nanosleep(&ts, 0);
    }
  }
  set_buffers(s);
  return s;
}
static int dial(void) {
  for (;;) {
    int s = dial_once();
    if (!vmn3t || !greet(s)) return s;
    close(s);
    if (!reconnect) exit(1);
    struct timespec ts = {0, 10000000}; nanosleep(&ts, 0);
  }
}
// With -R the receiving thread replaces the socket under the same descriptor number; the sending
// thread loses what it was about to send, as a cable would.
static void redial(void) {
  if (!reconnect) report(0);
  int s = dial();
  dup2(s, sk); close(s);
}
static void send_all(const uint8_t *buf, size_t len) {
  size_t o = 0;
  while (o < len) {
    ssize_t n = write(wk, buf + o, len - o);
    if (n < 0) { if (errno == EINTR) continue; if (reconnect) return; report(0); }
    o += n; t2s_calls++;
  }
}

// ---- impairment: a FIFO of frames and a few that are held back ----
struct frame { uint64_t due; uint32_t len; uint8_t *data; };
struct lane {
  struct frame q[QUEUE]; unsigned head, count;
  struct frame held[64]; unsigned nheld;
  uint64_t last_due; unsigned rnd; int to_tap; pthread_mutex_t lock; pthread_cond_t cond;
};
static struct lane lanes[2];
static unsigned rnd(struct lane *l) { // xorshift32
  unsigned x = l->rnd; x ^= x << 13; x ^= x >> 17; x ^= x << 5; return l->rnd = x;
}
static void enqueue(struct lane *l, const uint8_t *data, uint32_t len) {
  pthread_mutex_lock(&l->lock);
  if (rnd(l) % 1000 < loss_pm || l->count == QUEUE) { lost++; pthread_mutex_unlock(&l->lock); return; }
  struct frame f = {now_us() + delay_us + (jitter_us ? rnd(l) % jitter_us : 0), len, malloc(len)};
  memcpy(f.data, data, len);
  if (l->nheld < 64 && rnd(l) % 1000 < reorder_pm) { f.due += delay_us; l->held[l->nheld++] = f; late++; }
  else {
    if (f.due < l->last_due) f.due = l->last_due;
    l->last_due = f.due; l->q[(l->head + l->count++) % QUEUE] = f;
  }
  pthread_cond_signal(&l->cond);
  pthread_mutex_unlock(&l->lock);
}
static void *deliver(void *a) {
  struct lane *l = a; uint8_t *out = malloc(MAXF + 8);
  for (;;) {
    pthread_mutex_lock(&l->lock);
    struct frame f;
    for (;;) {
      struct frame *first = l->count ? &l->q[l->head] : 0; int held = -1;
      for (unsigned i = 0; i < l->nheld; i++) if (!first || l->held[i].due < first->due) { first = &l->held[i]; held = i; }
      if (!first) { pthread_cond_wait(&l->cond, &l->lock); continue; }
      uint64_t now = now_us();
      if (first->due <= now) {
        f = *first;
        if (held < 0) { l->head = (l->head + 1) % QUEUE; l->count--; } else l->held[held] = l->held[--l->nheld];
        break;
      }
      struct timespec ts = {first->due / 1000000, first->due % 1000000 * 1000};
      pthread_cond_timedwait(&l->cond, &l->lock, &ts);
    }
    pthread_mutex_unlock(&l->lock);
    if (l->to_tap) { if (write(tapfd, f.data, f.len) < 0) s2t_err++; }
    else { put_len(out, f.len); memcpy(out + hl, f.data, f.len); send_all(out, f.len + hl); }
    free(f.data);
  }
}
static void start_lane(struct lane *l, int to_tap) {
  pthread_condattr_t attr; pthread_condattr_init(&attr); pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_mutex_init(&l->lock, 0); pthread_cond_init(&l->cond, &attr);
  l->to_tap = to_tap; l->rnd = seed * 2654435761u + to_tap + 1;
  pthread_t t; pthread_create(&t, 0, deliver, l);
}

// ---- the two directions, of messages ----
static void *tap2messages(void *a) {
  uint8_t *buf = malloc(MAXF + VNET_LEN); int skip = vnet ? VNET_LEN : 0;
  (void)a;
  for (;;) {
    ssize_t n = read(tapfd, buf, MAXF + skip);
    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {tapfd, POLLIN, 0};
      if (poll(&p, 1, -1) < 0 && errno != EINTR) die("poll");
      if (p.revents & (POLLERR | POLLHUP)) report(0);
      continue;
    }
    if (n <= skip) { if (n < 0 && errno == EINTR) continue; report(0); }
    t2s_f++; t2s_b += n - skip; t2s_calls++;
    int unconnected = !strcmp(kind, "dgram");
    void *to = unconnected ? &peer : 0; socklen_t tolen = unconnected ? sizeof peer : 0;
    if (sendto(sk, buf + skip, n - skip, MSG_NOSIGNAL | MSG_DONTWAIT, to, tolen) >= 0) continue;
    if (errno == EAGAIN) { t2s_full++; if (sendto(sk, buf + skip, n - skip, MSG_NOSIGNAL, to, tolen) >= 0) continue; }
    // QEMU loses the frame; the end of a connection is seen by the other thread.
    if (unconnected || errno == EINTR || !strcmp(kind, "bess")) continue;
    redial();
  }
}
static void *messages2tap(void *a) {
  uint8_t *buf = calloc(1, MAXF + VNET_LEN); int skip = vnet ? VNET_LEN : 0;
  (void)a;
  for (;;) {
    ssize_t n = recv(sk, buf + skip, MAXF, MSG_DONTWAIT);
    if (n <= 0) {
      if (n < 0 && errno == EAGAIN) {
        struct pollfd p = {sk, POLLIN, 0};
        poll(&p, 1, 100); // not for long: another socket may take its number
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (!strcmp(kind, "bess")) redial();
      continue;
    }
    s2t_f++; s2t_b += n; s2t_calls++;
    if (write(tapfd, buf, n + skip) < 0) s2t_err++;
  }
}

// ---- the two directions, of a stream ----
static void *tap2sock(void *a) {
  int impair = a != 0; uint8_t *buf = malloc(BUFSZ + MAXF + 8);
  for (;;) {
    struct pollfd p = {tapfd, POLLIN, 0};
    if (poll(&p, 1, -1) < 0) { if (errno == EINTR) continue; die("poll"); }
    size_t off = 0;
    while (off < batch_limit) {
      ssize_t n = read(tapfd, buf + off + hl, hl == 2 ? 65535 : MAXF);
      if (n <= 0) { if (n < 0 && errno == EINTR) continue; break; }
      t2s_f++; t2s_b += n;
      if (impair) { enqueue(&lanes[0], buf + off + hl, n); continue; }
      put_len(buf + off, n);
      off += hl + n;
    }
    if (off) send_all(buf, off);
    else if (p.revents & (POLLERR | POLLHUP)) report(0);
  }
}
static void *sock2tap(void *a) {
  int impair = a != 0; uint8_t *buf = malloc(BUFSZ + MAXF); size_t have = 0;
  for (;;) {
    ssize_t n = read(sk, buf + have, BUFSZ - have);
    if (n <= 0) { if (n < 0 && errno == EINTR) continue; redial(); have = 0; continue; }
    have += n; s2t_calls++;
    size_t o = 0;
    while (have - o >= (size_t)hl) {
      uint32_t l = get_len(buf + o);
      if (l > MAXF) { fprintf(stderr, "bad frame length %u\n", l); report(0); }
      if (have - o < hl + l) break;
      if (impair) enqueue(&lanes[1], buf + o + hl, l);
      else if (write(tapfd, buf + o + hl, l) < 0) s2t_err++;
      s2t_f++; s2t_b += l; o += hl + l;
    }
    if (o) { memmove(buf, buf + o, have - o); have -= o; }
  }
}

// The kernel shows a namespace's devices in a sysfs that was mounted in it.
static void set_receive(const char *key, const char *value) {
  char name[256];
  snprintf(name, sizeof name, "/sys/class/net/%s/%s", tap, key);
  int f = open(name, O_WRONLY);
  if (f < 0 || write(f, value, strlen(value)) < 0) die(name);
  close(f);
}

static void receive_as_card(void) {
  if (unshare(CLONE_NEWNS)) die("unshare");
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) die("private");
  if (mount("sysfs", "/sys", "sysfs", 0, NULL)) die("sysfs");
  set_receive("napi_defer_hard_irqs", "2"); set_receive("gro_flush_timeout", "20000");
}

static void start_program(char **argv) {
  int in[2], out[2];
  if (pipe(in) || pipe(out)) die("pipe");
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (!pid) {
    dup2(in[0], 0); dup2(out[1], 1);
    close(in[0]); close(in[1]); close(out[0]); close(out[1]);
    execvp(argv[0], argv); die(argv[0]);
  }
  close(in[0]); close(out[1]); wk = in[1]; sk = out[0];
}

int main(int argc, char **argv) {
  const char *ns = 0; int c, mtu = 1500, impair = 0, starts = 0;
  while ((c = getopt(argc, argv, "+n:t:m:c:l:b:r:B:RI:F:s:xk:o:ON")) != -1) switch (c) {
    case 's': sk = wk = atoi(optarg); fcntl(sk, F_SETFL, fcntl(sk, F_GETFL) & ~O_NONBLOCK); break; case 'x': starts = 1; break;
    case 'F': hl = strcmp(optarg, "qemu") ? 2 : 4; vmn3t = !strncmp(optarg, "vmn3t", 5);
      if (vmn3t && optarg[5] == '=') uuid = optarg + 6;
      break;
    case 'n': ns = optarg; break; case 't': tap = optarg; break; case 'm': mtu = atoi(optarg); break;
    case 'c': path = optarg; break; case 'l': path = optarg; listenmode = 1; break;
    case 'b': bufsz = atoi(optarg); break; case 'r': retry = atoi(optarg); break; case 'R': reconnect = 1; break;
    case 'B': batch_limit = atoi(optarg); if (batch_limit > BUFSZ) batch_limit = BUFSZ; break;
    case 'k': kind = optarg; break; case 'o': own = optarg; break; case 'O': vnet = 1; break; case 'N': napi = 1; break;
    case 'I': impair = 1; if (sscanf(optarg, "%u,%u,%u,%u,%u", &loss_pm, &delay_us, &jitter_us, &reorder_pm, &seed) != 5) return 2; break;
    default: return 2; }
  if (starts) start_program(argv + optind);
  if (!path && sk < 0) { fprintf(stderr, "usage: tapbridge -n netns -t tap -m mtu (-c|-l) sock [-R] [-I ...]\n"); return 2; }
  if (ns) { int f = open(ns, O_RDONLY); if (f < 0 || setns(f, CLONE_NEWNET)) die("setns"); close(f); }
  tapfd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (tapfd < 0) die("open tun");
  struct ifreq ifr; memset(&ifr, 0, sizeof ifr);
  ifr.ifr_flags = IFF_TAP | IFF_NO_PI | (vnet ? IFF_VNET_HDR : 0) | (napi ? IFF_NAPI : 0); strncpy(ifr.ifr_name, tap, IFNAMSIZ - 1);
  if (ioctl(tapfd, TUNSETIFF, &ifr)) die("TUNSETIFF");
  if (vnet && ioctl(tapfd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) die("TUNSETOFFLOAD");
  int cs = socket(AF_INET, SOCK_DGRAM, 0);
  ifr.ifr_mtu = mtu; if (ioctl(cs, SIOCSIFMTU, &ifr)) die("SIOCSIFMTU");
  if (napi) receive_as_card();
  if (ioctl(cs, SIOCGIFFLAGS, &ifr)) die("GIFFLAGS");
  ifr.ifr_flags |= IFF_UP; if (ioctl(cs, SIOCSIFFLAGS, &ifr)) die("SIFFLAGS");
  ctl = cs;
  signal(SIGTERM, report); signal(SIGINT, report); signal(SIGPIPE, SIG_IGN);
  if (sk < 0) sk = wk = dial();
  fprintf(stderr, "ready\n");
  if (impair) { start_lane(&lanes[0], 0); start_lane(&lanes[1], 1); }
  pthread_t t1, t2;
  if (kind) {
    pthread_create(&t1, 0, tap2messages, 0); pthread_create(&t2, 0, messages2tap, 0);
    pthread_join(t1, 0); pthread_join(t2, 0);
    return 0;
  }
  pthread_create(&t1, 0, tap2sock, impair ? &lanes[0] : 0); pthread_create(&t2, 0, sock2tap, impair ? &lanes[1] : 0);
  pthread_join(t1, 0); pthread_join(t2, 0);
  return 0;
}
