/** The files that a command line of vpnkit names. */
import * as z from 'zod';
import { readSmallFile } from '../../../native/read-small-file.ts';
import { messageOf, UsageError } from '../../../network/errors.ts';
import type { GatewayForward } from '../../../network/gateway-forwards.ts';
import type { FlowTunnel } from '../../../proxy/upstream-proxy/flow-tunnels.ts';
import { parsePrefix } from '../../../services/address-text.ts';
import { unixPathProblem } from '../../../transports/stream-address.ts';
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

const tunnelsSchema = (): z.ZodType<readonly FlowTunnel[]> => {
  const to = z.string().transform((text, context) => {
    const prefix = parsePrefix(text);
    if (prefix !== undefined) return prefix;
    context.addIssue(`${text}: must be a network, such as 10.0.0.0/8`);
    return z.NEVER;
  });
  const path = z.string().refine((text) => text !== '' && unixPathProblem(text) === undefined, {
    error: 'must be the path of a Unix socket',
  });
  const tunnel = z.object({
    protocol: z.literal('tcp'),
    dst_prefix: to,
    dst_port: z.int().min(0).max(65_535),
    path,
  });
  return z.array(
    tunnel.transform(({ dst_prefix, dst_port, ...one }) => ({
      to: dst_prefix,
      port: dst_port,
      path: one.path,
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

/** @param text of the file of `--forwards`. @throws UsageError */
export const parseTunnels = (path: string, text: string): readonly FlowTunnel[] =>
  parse(TUNNELS, path, text, tunnelsSchema());

/** `--forwards`. @throws UsageError */
export const readTunnels = (path: string): readonly FlowTunnel[] =>
  read(TUNNELS, path, tunnelsSchema());

const FORWARDS = '--gateway-forwards';
const TUNNELS = '--forwards';

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
