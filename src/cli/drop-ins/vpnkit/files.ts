/** The files that a command line of vpnkit names. */
import * as z from 'zod';
import { readSmallFile } from '../../../native/read-small-file.ts';
import { messageOf, UsageError } from '../../../network/errors.ts';
import type { GatewayForward } from '../../../network/gateway-forwards.ts';
import type { DhcpFile } from './plan.ts';

const dhcpSchema = (): z.ZodType<DhcpFile> =>
  z.object({
    searchDomains: z.array(z.string()).optional(),
    domainName: z.string().optional(),
  });

const forwardsSchema = (): z.ZodType<readonly GatewayForward[]> => {
  const port = z.int().min(1).max(65_535);
  const forward = z.object({
    protocol: z.enum(['tcp', 'udp']),
    external_port: port,
    internal_ip: z.ipv4(),
    internal_port: port,
  });
  return z.array(
    forward.transform(({ protocol, ...one }) => ({
      protocol,
      port: one.external_port,
      address: one.internal_ip,
      addressPort: one.internal_port,
    })),
  );
};

/** `--dhcp-path`. @throws UsageError */
export const readDhcpFile = (path: string): DhcpFile => read('--dhcp-path', path, dhcpSchema());

/** `--gateway-forwards`. @throws UsageError */
export const readForwards = (path: string): readonly GatewayForward[] =>
  read(FORWARDS, path, forwardsSchema());

/** @param text of that file. @throws UsageError */
export const parseForwards = (path: string, text: string): readonly GatewayForward[] =>
  parse(FORWARDS, path, text, forwardsSchema());

const FORWARDS = '--gateway-forwards';

function read<T>(option: string, path: string, schema: z.ZodType<T>): T {
  let text: string;
  try {
    text = readSmallFile(path);
  } catch (error) {
    throw new UsageError([`${option} ${path}: cannot be read: ${messageOf(error)}`]);
  }
  return parse(option, path, text, schema);
}

function parse<T>(option: string, path: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError([`${option} ${path}: cannot be read: ${messageOf(error)}`]);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.join('.') || 'it';
  throw new UsageError([`${option} ${path}: ${where}: ${issue?.message}`]);
}
