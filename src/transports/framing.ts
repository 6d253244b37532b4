/** How a protocol delimits frames in a stream of bytes: a header of fixed size with the length. */
export interface Framing {
  /** Bytes before each frame. */
  readonly headerLen: number;
  /** Length of the frame whose header is at `off`; -1 when that length is impossible. */
  readLength(view: DataView, off: number): number;
  /** @returns false: it has failed, and its link is to end; anything else: it is written */
  writeLength(view: DataView, off: number, len: number): unknown;
  /** The longest frame whose length it can write, bytes. Default: the longest of any link. */
  readonly longestFrame?: number;
}

/** Longest frame on any link, bytes: an Ethernet header with two VLAN tags and an IP packet, with some slack. */
export const MAX_FRAME_LEN = 65560;
/** Longest framing header of any protocol, bytes. */
export const MAX_FRAMING_HEADER_LEN = 16;

/** QEMU's `-netdev stream` and `socket`: u32, big-endian (net/stream.c, net/net.c). */
export const QEMU_FRAMING: Framing = {
  headerLen: 4,
  readLength(view: DataView, off: number): number {
    const len = view.getInt32(off);
    return len < 0 || len > MAX_FRAME_LEN ? -1 : len;
  },
  writeLength(view: DataView, off: number, len: number): void {
    view.setInt32(off, len);
  },
};

/** VPNKit's and HyperKit's, and of what speaks with them: u16, little-endian. */
export const VPNKIT_FRAMING: Framing = {
  headerLen: 2,
  longestFrame: 0xffff,
  readLength: (view, off) => view.getUint16(off, true),
  writeLength: (view, off, len) => view.setUint16(off, len, true),
};

/** By the names that options have for them. */
export const STREAM_FRAMINGS: Readonly<Record<StreamFramingName, Framing>> = {
  qemu: QEMU_FRAMING,
  vpnkit: VPNKIT_FRAMING,
  hyperkit: VPNKIT_FRAMING,
};

export type StreamFramingName = 'qemu' | 'vpnkit' | 'hyperkit';

export const isStreamFraming = (name: string): name is StreamFramingName =>
  Object.hasOwn(STREAM_FRAMINGS, name);
