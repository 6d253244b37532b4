// As much of TCP as an attack needs: connections by their local port, nothing retransmitted but the SYN.
enum state { CLOSED, OPENING, OPEN };
struct conn {
  uint8_t state, stage, shift;
  uint16_t dport;
  uint32_t dst, snd_nxt, rcv_nxt, window;
  double since;
  int dirty;
};
static struct conn conns[65536];
static uint16_t dirty[65536];
static unsigned ndirty, opened, resets, next_conn;

static void send_tcp(struct link *l, uint16_t port, uint8_t flags, const void *data, size_t len, uint16_t window) {
  struct conn *c = &conns[port];
  if (!has_room(l, 80 + len)) return;
  struct segment s = {c->dst, c->snd_nxt, flags == SYN ? 0 : c->rcv_nxt, port, c->dport, window, flags};
  tcp(l, &s, data, len);
  c->snd_nxt += len + (flags & (SYN | FIN) ? 1 : 0);
}

// A connection that is not there yet, or whose SYN is a second old.
static void open_conn(struct link *l, uint16_t port, uint32_t dst, uint16_t dport, double now) {
  struct conn *c = &conns[port];
  if (c->state == OPEN || (c->state == OPENING && now - c->since < 1)) return;
  c->state = OPENING; c->stage = 0; c->dst = dst; c->dport = dport; c->since = now; c->snd_nxt = rnd(l);
  send_tcp(l, port, SYN, 0, 0, 65535);
}

// One round over `count` connections, a few at a time. @returns whether a frame was made
static int open_conns(struct link *l, unsigned first, unsigned count, uint32_t dst, uint16_t dport, double now) {
  size_t before = l->len;
  for (unsigned i = 0; i < count && l->len - before < 8192; i++) {
    next_conn = (next_conn + 1) % count;
    open_conn(l, first + next_conn, dst, dport, now);
  }
  return l->len != before;
}

static void close_conn(struct link *l, uint16_t port, uint8_t flags) {
  send_tcp(l, port, flags, 0, 0, 65535);
  conns[port].state = CLOSED;
}

struct arrival { uint16_t port; uint8_t flags; uint32_t seq, ack; size_t len; };

// @returns the connection when it has just been opened (`stage` 0), or has been given data; else 0
static struct conn *on_segment(const uint8_t *p, size_t len, struct arrival *a) {
  size_t header = (p[12] >> 4) * 4;
  if (header < 20 || header > len) return 0;
  *a = (struct arrival){r16(p + 2), p[13], r32(p + 4), r32(p + 8), len - header};
  struct conn *c = &conns[a->port];
  if (c->state == CLOSED || r16(p) != c->dport) return 0;
  if (a->flags & RST) { resets++; c->state = CLOSED; return 0; }
  if (c->state == OPENING) {
    if ((a->flags & (SYN | ACK)) != (SYN | ACK)) return 0;
    c->shift = 0;
    for (size_t o = 20; o + 2 < header && p[o];) {
      if (p[o] == 1) { o++; continue; }
      if (p[o] == 3) c->shift = p[o + 2];
      if (p[o + 1] < 2) break;
      o += p[o + 1];
    }
    c->state = OPEN; c->rcv_nxt = a->seq + 1; c->window = r16(p + 14); opened++;
    return c;
  }
  if (a->flags & SYN) return 0;
  c->window = (uint32_t)r16(p + 14) << c->shift;
  if (a->seq == c->rcv_nxt) c->rcv_nxt += a->len + (a->flags & FIN ? 1 : 0);
  if (!c->dirty) { c->dirty = 1; dirty[ndirty++] = a->port; }
  return c;
}
