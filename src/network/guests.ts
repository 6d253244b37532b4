/** The guests of the network: the choice of a guest where none was named, and connections from the gateway to guests. */
import type { IpAddress } from '../base/ip-address.ts';
import type { Clock } from '../base/time.ts';
import type { GuestTarget } from '../proxy/ports/publication-guest.ts';
import { parseGuest } from '../proxy/ports/publish-text.ts';
import type { FlowId, TcpFlow, TcpFlowHandler } from '../stack/flow.ts';
import type { Stack } from '../stack/stack.ts';
import type { GuestDirectory } from './guest-directory.ts';

/** Source ports of the gateway's own connections to guests. */
const FIRST_PORT = 49_152;
const LAST_PORT = 65_535;

export interface GuestsDeps {
  readonly stack: () => Stack;
  readonly directory: GuestDirectory;
  readonly gateway: IpAddress;
  readonly gateway6?: IpAddress | undefined;
  readonly clock: Pick<Clock, 'now'>;
}

export class Guests {
  private readonly deps: GuestsDeps;
  private nextPort = FIRST_PORT;
  private firstTarget: GuestTarget | undefined = undefined;

  constructor(deps: GuestsDeps) {
    this.deps = deps;
  }

  /** The first guest, which does not change once it is known. */
  first(): IpAddress | undefined {
    this.firstTarget ??= this.deps.directory.targetOf({ guestAddress: undefined });
    return this.firstTarget.address;
  }

  /** @returns the address of the guest with this address, name or Ethernet address; undefined when none is known */
  find(text: string): IpAddress | undefined {
    const choice = parseGuest(text);
    if (choice === undefined) return undefined;
    const target = this.deps.directory.targetOf(choice);
    const { address } = target;
    target.release();
    return address;
  }

  /** The source port of the next connection from the gateway to `guest`. */
  flowTo(guest: IpAddress, guestPort: number): FlowId {
    const remotePort = this.nextPort;
    this.nextPort = remotePort === LAST_PORT ? FIRST_PORT : remotePort + 1;
    const { gateway, gateway6 } = this.deps;
    const remote = guest.family === 6 ? (gateway6 ?? gateway) : gateway;
    return { guest, guestPort, remote, remotePort };
  }

  /** Connect to a port of `guest`. */
  dial(guest: IpAddress, guestPort: number, handler: TcpFlowHandler): TcpFlow | undefined {
    return this.deps.stack().dial(this.deps.clock.now(), this.flowTo(guest, guestPort), handler);
  }
}
