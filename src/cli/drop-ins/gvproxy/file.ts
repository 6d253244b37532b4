/**
 * gvproxy's YAML file, as `gopkg.in/yaml.v3` reads it: what a scalar is depends on the key. A text is what was written, also
 * where that looks like a number; a boolean may be `yes` or `off`.
 */
import { parseDocument, visit } from 'yaml';
import * as z from 'zod';
import { messageOf, RunError } from '../../../network/errors.ts';
import { parseGoInteger } from '../go-flags.ts';
import type { GvproxyFile } from './configuration.ts';

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'y', 'yes', 'on'].flatMap(inEachCase).map((text) => [text, true] as const),
  ...['false', 'n', 'no', 'off'].flatMap(inEachCase).map((text) => [text, false] as const),
]);

function inEachCase(text: string): string[] {
  const upper = text.toUpperCase();
  return [text, upper, upper.slice(0, 1) + text.slice(1)];
}

const text = z.string();
const boolean = z.string().transform((written, context) => {
  const value = BOOLEANS.get(written);
  if (value !== undefined) return value;
  context.addIssue(`must be true or false: ${written}`);
  return z.NEVER;
});
const integer = z.string().transform((written, context) => {
  const value = parseGoInteger(written);
  if (typeof value === 'number') return value;
  context.addIssue(`must be an integer: ${written}`);
  return z.NEVER;
});
const texts = z.array(text).nullish();
const map = z.record(z.string(), text).nullish();

const recordSchema = z.object({
  name: text.nullish(),
  ip: text.nullish(),
  regexp: text.nullish(),
});

const zoneSchema = z.object({
  name: text.nullish(),
  records: z.array(recordSchema).nullish(),
  defaultIP: text.nullish(),
});

const stackSchema = z.object({
  debug: boolean.nullish(),
  'capture-file': text.nullish(),
  mtu: integer.nullish(),
  subnet: text.nullish(),
  gatewayIP: text.nullish(),
  deviceIP: text.nullish(),
  hostIP: text.nullish(),
  gatewayMacAddress: text.nullish(),
  dns: z.array(zoneSchema).nullish(),
  dnsSearchDomains: texts,
  forwards: map,
  nat: map,
  gatewayVirtualIPs: texts,
  dhcpStaticLeases: map,
  vpnKitUUIDMacAddresses: map,
  ec2MetadataAccess: boolean.nullish(),
  tcpMaxInFlight: text.nullish(),
  tcpConnectTimeout: text.nullish(),
});

const interfacesSchema = z.object({
  vpnkit: text.nullish(),
  qemu: text.nullish(),
  bess: text.nullish(),
  stdio: text.nullish(),
  vfkit: text.nullish(),
});

const forwardSchema = z.object({
  socket: text.nullish(),
  dest: text.nullish(),
  user: text.nullish(),
  identity: text.nullish(),
});

/** As Go's decoder, it knows nothing of keys that it does not know. */
const fileSchema = z.object({
  listen: texts,
  'log-level': text.nullish(),
  stack: stackSchema.nullish(),
  interfaces: interfacesSchema.nullish(),
  forwards: z.array(forwardSchema).nullish(),
  'pid-file': text.nullish(),
  'log-file': text.nullish(),
  services: text.nullish(),
  'ec2-metadata-access': boolean.nullish(),
  notification: text.nullish(),
});

/** Each scalar is a text, or null. @throws YAMLParseError */
function asWritten(text: string): unknown {
  const document = parseDocument(text, { merge: true });
  const [error] = document.errors;
  if (error !== undefined) throw error;
  visit(document, {
    Scalar: (_key, node) => {
      if (typeof node.value === 'number' || typeof node.value === 'boolean')
        node.value = node.source;
    },
  });
  return document.toJS();
}

/** @throws RunError that names the key */
export function parseFile(text: string, path: string): GvproxyFile {
  let value: unknown;
  try {
    value = asWritten(text) ?? {};
  } catch (error) {
    throw new RunError(`failed to parse configuration: ${path}: ${messageOf(error)}`);
  }
  const checked = fileSchema.safeParse(value);
  if (checked.success) return checked.data;
  throw new RunError(`failed to parse configuration: ${path}: ${z.prettifyError(checked.error)}`);
}
