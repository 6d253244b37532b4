/** The guest API at the gateway: its configuration, and its connection to the network. */
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import { type BindRule, parseBindRule } from '../control/ports/bind-rules.ts';
import { GUEST_API_PORT, GuestApi } from '../control/ports/guest-api.ts';
import type { PortTable } from '../proxy/ports/port-table.ts';
import type { Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import type { DataPath } from './data-path.ts';
import { gatewayAddresses } from './gateway.ts';
import { packageVersion } from './version.ts';

export interface GuestApiParts {
  readonly config: NetworkConfig;
  readonly addresses: Addresses;
  readonly ports: PortTable;
  readonly dataPath: DataPath;
  readonly clock: Clock;
  readonly log: Log;
}

export function serveGuestApi(parts: GuestApiParts): GuestApi {
  const { config, addresses, ports, dataPath, clock, log } = parts;
  const { book, flusher, listeners, destinations, stack } = dataPath;
  const { a, b, c, d } = addresses.gateway;
  const words = Int32Array.of(a, b, c, d);
  const api = new GuestApi({
    ports,
    gateway: addresses.gateway,
    rules: config.guestApi.bind.map(requiredRule),
    isOpenTo: (owner = stack.guests.nobody, link) =>
      destinations.refusesServiceFlow(owner, 'tcp', words, 0, GUEST_API_PORT, link) === undefined,
    denialsOf: (owner) => dataPath.denials.of(owner),
    book,
    context: { clock, flusher },
    version: packageVersion(),
    log,
  });
  listeners.serve(gatewayAddresses(addresses), GUEST_API_PORT, (now, request) =>
    api.onRequest(now, request),
  );
  return api;
}

function requiredRule(text: string): BindRule {
  const rule = parseBindRule(text);
  if (rule === undefined) throw new Error(`${text} is not a rule for the ports of guests`);
  return rule;
}
