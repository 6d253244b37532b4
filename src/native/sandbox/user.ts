/** Another user: its ids, groups and no others. Capabilities survive it, to be given up one by one. */
import { PosixError } from '../errors.ts';
import type { Libc } from '../libc.ts';
import type { Kernel } from './kernel.ts';

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const PR_SET_KEEPCAPS = 8;

// struct passwd, in glibc and musl
const PASSWD_LEN = 24;
const PW_UID = 16;
const PW_GID = 20;

/** @param text a name, or a number @returns undefined when the system has no such user */
export function findUser(libc: Libc, text: string): User | undefined {
  const address = /^\d+$/.test(text) ? libc.getpwuid(Number(text)) : libc.getpwnam(text);
  if (address === 0n) return undefined;
  const passwd = new DataView(libc.view(Number(address), PASSWD_LEN));
  return {
    name: text,
    uid: passwd.getUint32(PW_UID, true),
    gid: passwd.getUint32(PW_GID, true),
  };
}

/** Of all threads (libc sees to it). @throws PosixError */
export function becomeUser(kernel: Kernel, { name, uid, gid }: User): void {
  kernel.prctl('keep capabilities', PR_SET_KEEPCAPS, 1);
  const { setgid, setuid } = process;
  if (setgid === undefined || setuid === undefined || !hasInitgroups(process)) {
    throw new PosixError(`cannot become user ${name}`, ENOSYS);
  }
  process.initgroups(uid, gid);
  setgid(gid);
  setuid(uid);
}

const ENOSYS = 38;

/** Node's types leave it out. */
const hasInitgroups = (
  value: object,
): value is { initgroups(user: number, extraGroup: number): void } =>
  'initgroups' in value && typeof value.initgroups === 'function';
