/**
 * The API of slirp4netns (`--api-socket`): requests and answers as JSON, ports by number.
 *
 * Its answers are those of slirp4netns, with these exceptions: an error of a port says what failed; addresses of IPv6 are
 * taken; and the list of ports stands both where its manual has it (`return.entries`) and where the program has it
 * (`entries`).
 */
import * as z from 'zod';
import type { IpAddress } from '../../base/ip-address.ts';
import { once } from '../../base/once.ts';
import { type PortSpec, PublishError, type PublishSpec } from '../../proxy/ports/publish-spec.ts';
import { parseAddress } from '../../services/address-text.ts';

/** A request, and its answer, of slirp4netns are shorter. */
export const MAX_REQUEST = 4_096;

/** As it was asked for. */
interface HostForward {
  readonly portId: string;
  readonly proto: 'tcp' | 'udp';
  readonly host_addr: string;
  readonly host_port: number;
  readonly guest_addr: string;
  readonly guest_port: number;
}

export type HostForwardAnswer = Readonly<Record<string, unknown>>;

/** `desc` of an answer. */
class BadRequest extends Error {}

const schema = once(() =>
  z.looseObject({
    execute: z.string(),
    arguments: z.record(z.string(), z.unknown()).optional(),
  }),
);

/** Of the table of published ports. */
export interface ForwardPorts {
  /** @throws PublishError */
  publish(spec: PublishSpec, owner: 'api'): Promise<{ readonly id: string }>;
  unpublish(id: string): boolean;
  /** @returns undefined when there is no such port */
  ownerOf(id: string): unknown;
}

export class HostForwards {
  private readonly ports: ForwardPorts;
  private readonly guest: IpAddress;
  /** No more than the table of ports allows. */
  private readonly byId = new Map<number, HostForward>();
  private nextId = 1;

  /** @param guest where ports lead without an address */
  constructor(ports: ForwardPorts, guest: IpAddress) {
    this.ports = ports;
    this.guest = guest;
  }

  /** @param text of a request */
  async answer(text: string): Promise<HostForwardAnswer> {
    try {
      return await this.execute(text);
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error;
      return { error: { desc: `bad request: ${error.message}` } };
    }
  }

  private async execute(text: string): Promise<HostForwardAnswer> {
    const parsed = parseJson(text);
    if (parsed === undefined) throw new BadRequest('cannot parse JSON');
    const request = schema().safeParse(parsed.value);
    if (!request.success) throw new BadRequest('no execute found');
    const { execute, arguments: given = {} } = request.data;
    switch (execute) {
      case 'add_hostfwd':
        return await this.add(given);
      case 'list_hostfwd':
        return this.list();
      case 'remove_hostfwd':
        return this.remove(given['id']);
      default:
        throw new BadRequest('unknown execute');
    }
  }

  private async add(given: Readonly<Record<string, unknown>>): Promise<HostForwardAnswer> {
    const { proto } = given;
    if (proto !== 'tcp' && proto !== 'udp') throw badArgument('proto');
    const spec: PortSpec = {
      protocol: proto,
      hostAddress: addressOf('host_addr', given['host_addr'] ?? '') ?? parseAddress('0.0.0.0'),
      hostPort: portOf('host_port', given['host_port']),
      guestAddress: addressOf('guest_addr', given['guest_addr'] ?? '') ?? this.guest,
      guestPort: portOf('guest_port', given['guest_port']),
    };
    try {
      const { id: portId } = await this.ports.publish(spec, 'api');
      const id = this.nextId++;
      this.byId.set(id, {
        portId,
        proto,
        host_addr: `${spec.hostAddress}`,
        host_port: spec.hostPort,
        guest_addr: `${spec.guestAddress}`,
        guest_port: spec.guestPort,
      });
      return { return: { id } };
    } catch (error) {
      if (!(error instanceof PublishError)) throw error;
      throw new BadRequest(`add_hostfwd: slirp_add_hostfwd failed: ${error.message}`);
    }
  }

  private list(): HostForwardAnswer {
    const entries = [...this.byId]
      .filter(([, { portId }]) => this.ports.ownerOf(portId) !== undefined)
      .map(([id, { portId: _, ...forward }]) => ({ id, ...forward }));
    return { return: { entries }, entries };
  }

  private remove(id: unknown): HostForwardAnswer {
    const forward = typeof id === 'number' ? this.byId.get(id) : undefined;
    if (typeof id !== 'number' || forward === undefined) {
      throw new BadRequest('remove_hostfwd: bad arguments.id');
    }
    this.byId.delete(id);
    this.ports.unpublish(forward.portId);
    return { return: {} };
  }
}

/** @returns undefined when it is not JSON, or not all of it */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

const badArgument = (name: string): BadRequest =>
  new BadRequest(`add_hostfwd: bad arguments.${name}`);

/** @returns undefined when it is left open */
function addressOf(name: string, value: unknown): IpAddress | undefined {
  if (value === '') return undefined;
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (address === undefined) throw badArgument(name);
  return address;
}

function portOf(name: string, value: unknown): number {
  const port = typeof value === 'number' ? Math.trunc(value) : 0;
  if (port < 1 || port > 65_535) throw badArgument(name);
  return port;
}
