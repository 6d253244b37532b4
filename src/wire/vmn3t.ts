/**
 * The handshake of VPNKit's Ethernet links, "VMN3T", version 22. All integers are little-endian. A client sends INIT, the
 * server answers with its own; the client sends one command, the server one response, each of a fixed length whatever it
 * holds; frames follow, each behind its length of 16 bits.
 */
import { type Mac, writeMac } from './mac.ts';

export const VMN3T_VERSION = 22;
export const VMN3T_INIT_LEN = 49;
export const VMN3T_COMMAND_LEN = 41;
export const VMN3T_RESPONSE_LEN = 258;
/** The shortest part that tells another protocol. */
export const VMN3T_MAGIC_LEN = 5;

const MAGIC = [0x56, 0x4d, 0x4e, 0x33, 0x54] as const;
const VERSION = 5;
/** 40 characters: the version of the source, or anything. */
const COMMIT = 9;
const DIGIT_0 = 0x30;

const UUID = 1;
const UUID_LEN = 36;
const PREFERRED = 37;

const ETHERNET = 1;
const PREFERRED_IPV4 = 8;

const VIF = 1;
const DISCONNECT = 2;
const VIF_MTU = 1;
const VIF_LONGEST = 3;
const VIF_MAC = 5;
const REASON_LEN = 1;
const REASON = 2;
const REASON_MAX = 255;
const U16_MAX = 0xffff;

/** What a client wants to be. */
export interface Vmn3tCommand {
  /** In lower case; undefined: the server is to make one up. */
  readonly uuid: string | undefined;
  /** IPv4, as int32. */
  readonly preferred: number | undefined;
}

export type Vmn3tFault = 'unsupported command' | 'invalid UUID';

/** @param view at least {@link VMN3T_MAGIC_LEN} bytes */
export const isVmn3t = (view: DataView): boolean =>
  MAGIC.every((byte, i) => view.getUint8(i) === byte);

/** @param view {@link VMN3T_INIT_LEN} bytes that {@link isVmn3t} */
export const vmn3tVersion = (view: DataView): number => view.getUint32(VERSION, true);

export function emitVmn3tInit(bytes: Uint8Array): void {
  bytes.set(MAGIC);
  viewOf(bytes).setUint32(VERSION, VMN3T_VERSION, true);
  bytes.fill(DIGIT_0, COMMIT, VMN3T_INIT_LEN);
}

/** Whether a command begins with this byte: the length of others is another. */
export const isVmn3tCommand = (byte: number): boolean =>
  byte === ETHERNET || byte === PREFERRED_IPV4;

/** @param view {@link VMN3T_COMMAND_LEN} bytes */
export function readVmn3tCommand(view: DataView): Vmn3tCommand | Vmn3tFault {
  const command = view.getUint8(0);
  if (!isVmn3tCommand(command)) return 'unsupported command';
  let text = '';
  for (let i = 0; i < UUID_LEN; i++) text += String.fromCharCode(view.getUint8(UUID + i));
  const isNone = text === '\0'.repeat(UUID_LEN);
  if (!isNone && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return 'invalid UUID';
  return {
    uuid: isNone ? undefined : text.toLowerCase(),
    preferred: command === PREFERRED_IPV4 ? view.getInt32(PREFERRED, true) : undefined,
  };
}

/**
 * @param bytes {@link VMN3T_RESPONSE_LEN} zeros
 * @param longest frame, bytes
 */
export function emitVmn3tVif(bytes: Uint8Array, mtu: number, longest: number, mac: Mac): void {
  const view = viewOf(bytes);
  view.setUint8(0, VIF);
  view.setUint16(VIF_MTU, mtu, true);
  view.setUint16(VIF_LONGEST, Math.min(longest, U16_MAX), true);
  writeMac(view, VIF_MAC, mac);
}

/** @param bytes {@link VMN3T_RESPONSE_LEN} zeros */
export function emitVmn3tDisconnect(bytes: Uint8Array, reason: string): void {
  bytes[0] = DISCONNECT;
  const { written } = new TextEncoder().encodeInto(
    reason,
    bytes.subarray(REASON, REASON + REASON_MAX),
  );
  bytes[REASON_LEN] = written;
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);
