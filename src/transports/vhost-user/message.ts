/**
 * Messages of the vhost-user protocol (QEMU, docs/interop/vhost-user.rst), by which a device lives
 * in another process than its virtual machine: a header, a payload, and descriptors passed along.
 *
 * | offset | field |
 * |---|---|
 * | 0 | request |
 * | 4 | flags: version (bits 0-1), reply (2), reply wanted (3) |
 * | 8 | size of the payload |
 *
 * All fields are little-endian here. Addresses and sizes are 64 bits wide; those of 2^53 and more,
 * which no machine has, are read as `Infinity` and so refused by every check of bounds.
 */
export const HEADER_LEN = 12;
/** Longest payload that a known request has, rounded up. */
export const MAX_PAYLOAD_LEN = 1024;
/** VHOST_MEMORY_BASELINE_NREGIONS. */
export const MAX_REGIONS = 8;
/** Rings are accessed by words, which must be aligned. */
const FILE_ALIGN = 8;
/** Of all regions, in bytes: 1 TiB. */
export const MAX_MEMORY_LEN: number = 2 ** 40;

export const GET_FEATURES = 1;
export const SET_FEATURES = 2;
export const SET_OWNER = 3;
export const RESET_OWNER = 4;
export const SET_MEM_TABLE = 5;
export const SET_VRING_NUM = 8;
export const SET_VRING_ADDR = 9;
export const SET_VRING_BASE = 10;
export const GET_VRING_BASE = 11;
export const SET_VRING_KICK = 12;
export const SET_VRING_CALL = 13;
export const SET_VRING_ERR = 14;
export const GET_PROTOCOL_FEATURES = 15;
export const SET_PROTOCOL_FEATURES = 16;
export const GET_QUEUE_NUM = 17;
export const SET_VRING_ENABLE = 18;
export const GET_CONFIG = 24;

/** Protocol features, as bits. */
export const PROTOCOL_F_MQ: number = 1 << 0;
export const PROTOCOL_F_REPLY_ACK: number = 1 << 3;
export const PROTOCOL_F_CONFIG: number = 1 << 9;

/** Feature bits of all virtio devices, as bit numbers because the mask is 64 bits wide. */
export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
/** Not a feature of the device: the backend implements the requests of protocol features. */
export const VHOST_USER_F_PROTOCOL_FEATURES = 30;
export const VIRTIO_F_VERSION_1 = 32;

export const bit = (n: number): bigint => 1n << BigInt(n);

const VERSION = 1;
const VERSION_MASK = 3;
const REPLY = 4;
const NEED_REPLY = 8;
/** In the payload of a descriptor message: none is passed. */
const NO_FD = 0x100;

export type HeaderFault = 'bad-version' | 'reply-from-frontend' | 'payload-too-long';

/** @returns why the message cannot be parsed; undefined when the header is valid */
export function checkHeader(view: DataView): HeaderFault | undefined {
  const flags = view.getUint32(4, true);
  if ((flags & VERSION_MASK) !== VERSION) return 'bad-version';
  if ((flags & REPLY) !== 0) return 'reply-from-frontend';
  return payloadLen(view) > MAX_PAYLOAD_LEN ? 'payload-too-long' : undefined;
}

export const requestOf = (view: DataView): number => view.getUint32(0, true);
export const payloadLen = (view: DataView): number => view.getUint32(8, true);
export const wantsReply = (view: DataView): boolean => (view.getUint32(4, true) & NEED_REPLY) !== 0;

/** A message of the frontend; for tests and for `HEADER_LEN` bytes of any reply. */
export function emitHeader(view: DataView, request: number, len: number, reply: boolean): void {
  view.setUint32(0, request, true);
  view.setUint32(4, VERSION | (reply ? REPLY : 0), true);
  view.setUint32(8, len, true);
}

/** A reply with a number as its payload. */
export function u64Reply(request: number, value: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_LEN + 8));
  emitHeader(view, request, 8, true);
  view.setBigUint64(HEADER_LEN, value, true);
  return new Uint8Array(view.buffer);
}

/** The answer to GET_VRING_BASE. */
export function vringStateReply(request: number, index: number, num: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_LEN + 8));
  emitHeader(view, request, 8, true);
  view.setUint32(HEADER_LEN, index, true);
  view.setUint32(HEADER_LEN + 4, num, true);
  return new Uint8Array(view.buffer);
}

export interface MemoryRegion {
  /** Where the guest has it. */
  readonly guestAddr: number;
  readonly len: number;
  /** Where the frontend has it; the addresses of rings are in this space. */
  readonly userAddr: number;
  readonly fileOffset: number;
}

/** @returns undefined when the table is malformed */
export function memoryTable(payload: DataView): readonly MemoryRegion[] | undefined {
  if (payload.byteLength < 8) return undefined;
  const count = payload.getUint32(0, true);
  if (count > MAX_REGIONS || payload.byteLength < 8 + 32 * count) return undefined;
  const regions: MemoryRegion[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    const at = 8 + 32 * i;
    const region = {
      guestAddr: u64(payload, at),
      len: u64(payload, at + 8),
      userAddr: u64(payload, at + 16),
      fileOffset: u64(payload, at + 24),
    };
    const ends = [region.guestAddr, region.userAddr, region.fileOffset].map((a) => a + region.len);
    total += region.len;
    if (total > MAX_MEMORY_LEN) return undefined;
    if (region.fileOffset % FILE_ALIGN !== 0) return undefined;
    if (region.len === 0 || ends.some((end) => end > Number.MAX_SAFE_INTEGER)) return undefined;
    regions.push(region);
  }
  return regions;
}

export interface VringState {
  readonly index: number;
  readonly num: number;
}

/** SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE. */
export const vringState = (payload: DataView): VringState | undefined =>
  payload.byteLength < 8
    ? undefined
    : { index: payload.getUint32(0, true), num: payload.getUint32(4, true) };

export interface VringAddr {
  readonly index: number;
  /** Addresses of the frontend. */
  readonly desc: number;
  readonly used: number;
  readonly avail: number;
}

export const vringAddr = (payload: DataView): VringAddr | undefined =>
  payload.byteLength < 40
    ? undefined
    : {
        index: payload.getUint32(0, true),
        desc: u64(payload, 8),
        used: u64(payload, 16),
        avail: u64(payload, 24),
      };

export interface VringFd {
  readonly index: number;
  readonly hasFd: boolean;
}

/** SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR. */
export const vringFd = (payload: DataView): VringFd | undefined =>
  payload.byteLength < 8
    ? undefined
    : {
        index: payload.getUint8(0),
        hasFd: (payload.getUint32(0, true) & NO_FD) === 0,
      };

/** SET_FEATURES, SET_PROTOCOL_FEATURES. */
export const featureBits = (payload: DataView): bigint | undefined =>
  payload.byteLength < 8 ? undefined : payload.getBigUint64(0, true);

/**
 * The answer to GET_CONFIG: the part of the device's configuration that `payload` asks for.
 *
 * @returns undefined when it asks for none of it; the reply then is one without payload
 */
export function configReply(payload: DataView, config: Uint8Array): Uint8Array | undefined {
  if (payload.byteLength < CONFIG_HEADER_LEN) return undefined;
  const offset = payload.getUint32(0, true);
  const len = payload.getUint32(4, true);
  if (offset + len > config.length) return undefined;
  const bytes = new Uint8Array(HEADER_LEN + CONFIG_HEADER_LEN + len);
  const view = new DataView(bytes.buffer);
  emitHeader(view, GET_CONFIG, CONFIG_HEADER_LEN + len, true);
  view.setUint32(HEADER_LEN, offset, true);
  view.setUint32(HEADER_LEN + 4, len, true);
  view.setUint32(HEADER_LEN + 8, payload.getUint32(8, true), true);
  bytes.set(config.subarray(offset, offset + len), HEADER_LEN + CONFIG_HEADER_LEN);
  return bytes;
}

export function emptyReply(request: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_LEN));
  emitHeader(view, request, 0, true);
  return new Uint8Array(view.buffer);
}

/** Offset, size and flags before the bytes of GET_CONFIG. */
const CONFIG_HEADER_LEN = 12;

/** A 64-bit address or size as a number; `Infinity` from 2^53. */
export function u64(view: DataView, off: number): number {
  const high = view.getUint32(off + 4, true);
  return high >= 0x20_0000 ? Number.POSITIVE_INFINITY : high * 2 ** 32 + view.getUint32(off, true);
}
