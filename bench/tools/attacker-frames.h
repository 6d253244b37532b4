// Frames of a hostile guest: built in place, behind the length of QEMU's stream protocol.
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#define OUT_BYTES (192 * 1024)
#define IN_BYTES (1024 * 1024)
#define ETH 14
#define IP 20

// One attachment to the daemon, with an Ethernet and an IPv4 address of its own.
struct link {
  int fd;
  uint8_t mac[6];
  uint32_t ip; // host order, as all addresses here
  uint32_t seed;
  size_t off, len;
  size_t have;
  uint8_t out[OUT_BYTES];
  uint8_t in[IN_BYTES];
};

static const uint8_t BROADCAST[6] = {255, 255, 255, 255, 255, 255};
static uint32_t gateway_ip, host_ip;
static uint8_t gateway_mac[6];
static unsigned long long frames_sent;

static uint32_t rnd(struct link *l) { // xorshift32
  uint32_t x = l->seed; x ^= x << 13; x ^= x >> 17; x ^= x << 5; return l->seed = x;
}
static void w16(uint8_t *p, uint16_t v) { p[0] = v >> 8; p[1] = v; }
static void w32(uint8_t *p, uint32_t v) { w16(p, v >> 16); w16(p + 2, v); }
static uint16_t r16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static uint32_t r32(const uint8_t *p) { return (uint32_t)r16(p) << 16 | r16(p + 2); }

static uint32_t sum(uint32_t s, const uint8_t *p, size_t n) {
  for (; n > 1; n -= 2, p += 2) s += r16(p);
  if (n) s += p[0] << 8;
  return s;
}
static uint16_t folded(uint32_t s) { while (s >> 16) s = (s & 0xffff) + (s >> 16); return ~s; }

static int has_room(const struct link *l, size_t frame) { return l->len + frame + 4 <= OUT_BYTES; }

// A frame of `len` bytes, zeroed. The caller has asked for room.
static uint8_t *frame(struct link *l, size_t len, const uint8_t *to, uint16_t type) {
  uint8_t *p = l->out + l->len;
  w32(p, len); p += 4;
  memset(p, 0, len); memcpy(p, to, 6); memcpy(p + 6, l->mac, 6); w16(p + 12, type);
  l->len += len + 4; frames_sent++;
  return p;
}

struct packet { uint32_t src, dst; uint16_t id, fragment; uint8_t protocol; const uint8_t *mac; };

// An IPv4 packet with `len` bytes after its header. @returns where these are
static uint8_t *ip_packet(struct link *l, const struct packet *k, size_t len) {
  uint8_t *p = frame(l, ETH + IP + len, k->mac ? k->mac : gateway_mac, 0x0800) + ETH;
  p[0] = 0x45; w16(p + 2, IP + len); w16(p + 4, k->id); w16(p + 6, k->fragment);
  p[8] = 64; p[9] = k->protocol; w32(p + 12, k->src); w32(p + 16, k->dst);
  w16(p + 10, folded(sum(0, p, IP)));
  return p + IP;
}
static uint32_t pseudo(const struct packet *k, size_t len) {
  return (k->src >> 16) + (k->src & 0xffff) + (k->dst >> 16) + (k->dst & 0xffff) + k->protocol + len;
}

struct udp { uint32_t src, dst; uint16_t sport, dport; const uint8_t *mac; };

static void udp(struct link *l, const struct udp *u, const void *data, size_t len) {
  struct packet k = {u->src, u->dst, rnd(l), 0, 17, u->mac};
  uint8_t *p = ip_packet(l, &k, 8 + len);
  w16(p, u->sport); w16(p + 2, u->dport); w16(p + 4, 8 + len); memcpy(p + 8, data, len);
  uint16_t c = folded(sum(pseudo(&k, 8 + len), p, 8 + len));
  w16(p + 6, c ? c : 0xffff);
}

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
struct segment { uint32_t dst, seq, ack; uint16_t sport, dport, window; uint8_t flags; };

static void tcp(struct link *l, const struct segment *s, const void *data, size_t len) {
  size_t options = s->flags & SYN ? 8 : 0;
  struct packet k = {l->ip, s->dst, rnd(l), 0x4000, 6, 0};
  uint8_t *p = ip_packet(l, &k, 20 + options + len);
  w16(p, s->sport); w16(p + 2, s->dport); w32(p + 4, s->seq); w32(p + 8, s->ack);
  p[12] = (20 + options) << 2; p[13] = s->flags; w16(p + 14, s->window);
  if (options) { w32(p + 20, 0x020405b4); w32(p + 24, 0x01030307); } // MSS 1460, shift 7
  memcpy(p + 20 + options, data, len);
  w16(p + 16, folded(sum(pseudo(&k, 20 + options + len), p, 20 + options + len)));
}

static void echo(struct link *l, uint32_t dst, uint16_t id, uint16_t seq) {
  struct packet k = {l->ip, dst, rnd(l), 0, 1, 0};
  uint8_t *p = ip_packet(l, &k, 24);
  p[0] = 8; w16(p + 4, id); w16(p + 6, seq);
  w16(p + 2, folded(sum(0, p, 24)));
}

// @param operation 1: request, 2: reply
static void arp(struct link *l, int operation, const uint8_t *to, uint32_t sender, uint32_t target) {
  uint8_t *p = frame(l, 60, to, 0x0806) + ETH;
  w32(p, 0x00010800); w16(p + 4, 0x0604); w16(p + 6, operation);
  memcpy(p + 8, l->mac, 6); w32(p + 14, sender); memcpy(p + 18, to, 6); w32(p + 24, target);
}
