/** gvproxy's YAML file. */
import { parse } from 'yaml';
import * as z from 'zod';
import { messageOf, RunError } from '../../../network/errors.ts';
import type { GvproxyFile } from './configuration.ts';

const text = z.union([z.string(), z.number()]).transform(String);
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
  debug: z.boolean().nullish(),
  'capture-file': text.nullish(),
  mtu: z.number().int().nullish(),
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
  ec2MetadataAccess: z.boolean().nullish(),
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
  'ec2-metadata-access': z.boolean().nullish(),
  notification: text.nullish(),
});

/** @throws RunError that names the key */
export function parseFile(text: string, path: string): GvproxyFile {
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    throw new RunError(`failed to parse configuration: ${path}: ${messageOf(error)}`);
  }
  const checked = fileSchema.safeParse(value);
  if (checked.success) return checked.data;
  throw new RunError(`failed to parse configuration: ${path}: ${z.prettifyError(checked.error)}`);
}
