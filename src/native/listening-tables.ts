/**
 * The kernel's tables of TCP sockets, as text, and those in them that listen. A table lists these before all connections,
 * so the read stops at the first connection.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { parseAddress } from '../services/address-text.ts';
import { errorCode } from './errors.ts';

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

export type TableState = 'listening' | 'unconnected';

const CODES: Readonly<Record<TableState, string>> = { listening: '0A', unconnected: '07' };

/** @returns the table as far as it is needed; undefined when it cannot be read now */
export const textOf = (files: TableFiles, path: string, state: TableState): string | undefined =>
  files.read(path, (part) => state === 'listening' && !allListen(part));

export const parseTable = (text: string, state: TableState): ListeningEntry[] =>
  text.split('\n').flatMap((line) => entryOf(line, CODES[state]) ?? []);

/** Of TCP and both families, in this network namespace. @returns undefined when they cannot be read now */
export function allListening(files: TableFiles): ListeningEntry[] | undefined {
  const ipv4 = textOf(files, '/proc/self/net/tcp', 'listening');
  const ipv6 = textOf(files, '/proc/self/net/tcp6', 'listening');
  if (ipv4 === undefined || ipv6 === undefined) return undefined;
  return [...parseTable(ipv4, 'listening'), ...parseTable(ipv6, 'listening')];
}

/** Whether the last complete line, if there is one besides the heading, is a listening socket. */
function allListen(text: string): boolean {
  const end = text.lastIndexOf('\n');
  const begin = text.lastIndexOf('\n', end - 1);
  return end < 0 || begin < 0 || stateOf(text.slice(begin + 1, end)) === CODES.listening;
}

const stateOf = (line: string): string | undefined => line.trim().split(/\s+/)[3];

function entryOf(line: string, code: string): ListeningEntry | undefined {
  const fields = line.trim().split(/\s+/);
  const [, local = '', , state, , , , , , inode] = fields;
  const [hex = '', port = ''] = local.split(':');
  if (state !== code || inode === undefined) return undefined;
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
