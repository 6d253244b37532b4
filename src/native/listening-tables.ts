/**
 * The kernel's tables of TCP sockets, as text, and those in them that listen. A table lists these before all connections,
 * so the read stops at the first connection.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { parseAddress } from '../services/address-text.ts';
import { errorCode } from './errors.ts';

const LISTEN = '0A';
const CHUNK_BYTES = 16_384;

export interface ListeningEntry {
  /** As it is bound, in canonical form. */
  readonly address: string;
  readonly port: number;
  readonly inode: string;
}

export interface TableFiles {
  /** The text of a table, read until `isEnough` returns true; '' where there is none; undefined: it cannot be read now. */
  read(path: string, isEnough: (text: string) => boolean): string | undefined;
}

/** @returns undefined when the table cannot be read now */
export function listeningIn(files: TableFiles, path: string): ListeningEntry[] | undefined {
  const text = files.read(path, (part) => !allListen(part));
  return text?.split('\n').flatMap((line) => entryOf(line) ?? []);
}

/** Of both families, in this network namespace. */
export function allListening(files: TableFiles): ListeningEntry[] | undefined {
  const ipv4 = listeningIn(files, '/proc/self/net/tcp');
  const ipv6 = listeningIn(files, '/proc/self/net/tcp6');
  return ipv4 === undefined || ipv6 === undefined ? undefined : [...ipv4, ...ipv6];
}

/** Whether the last complete line, if there is one besides the heading, is a listening socket. */
function allListen(text: string): boolean {
  const end = text.lastIndexOf('\n');
  const begin = text.lastIndexOf('\n', end - 1);
  return end < 0 || begin < 0 || stateOf(text.slice(begin + 1, end)) === LISTEN;
}

const stateOf = (line: string): string | undefined => line.trim().split(/\s+/)[3];

function entryOf(line: string): ListeningEntry | undefined {
  const fields = line.trim().split(/\s+/);
  const [, local = '', , state, , , , , , inode] = fields;
  const [hex = '', port = ''] = local.split(':');
  if (state !== LISTEN || inode === undefined) return undefined;
  return { address: addressOf(hex), port: Number.parseInt(port, 16), inode };
}

/** The kernel prints each word of four bytes as it is in memory. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  if (bytes.length === 4) return bytes.join('.');
  const groups: string[] = [];
  for (let at = 0; at < bytes.length; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  const text = groups.join(':');
  return parseAddress(text)?.toString() ?? text;
}

const SHORT: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** It may succeed later. */
export const isShort = (error: unknown): boolean =>
  error instanceof Error && SHORT.has(errorCode(error));

export const PROC_TABLES: TableFiles = {
  read(path, isEnough) {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      return isShort(error) ? undefined : ''; // not Linux, or without IPv6
    }
    try {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      let text = '';
      for (;;) {
        const len = readSync(fd, chunk);
        if (len === 0) return text;
        text += chunk.toString('latin1', 0, len);
        if (isEnough(text)) return text;
      }
    } finally {
      closeSync(fd);
    }
  },
};
