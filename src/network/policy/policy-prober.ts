/**
 * What would become of a flow: the answer is that of the functions that enforce, asked for a stand-in of the guest that
 * has its names, so that nothing is counted as its own.
 */
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { Owner } from '../../base/shares/owner.ts';
import type { Clock } from '../../base/time.ts';
import { asciiName } from '../../control/ascii-name.ts';
import {
  PolicyError,
  type PolicyProbe,
  type PolicyVerdictView,
} from '../../control/policy-view.ts';
import type { Destinations } from '../../proxy/flows/destinations.ts';
import type { GuestNames } from '../../proxy/flows/guest-names.ts';
import {
  GuestPolicy,
  type Judged,
  type PolicyTarget,
  whyNotAsked,
} from '../../proxy/policy/guest-policy.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import { isNumeric, statedName } from '../../services/sniff/host-name.ts';
import { Guest } from '../../stack/guest.ts';

export interface PolicyProberDeps {
  readonly policy: GuestPolicy;
  readonly destinations: Destinations;
  readonly names: GuestNames;
  readonly clock: Pick<Clock, 'now'>;
  /** The addresses of a name that is answered here; undefined: it is asked of others. */
  readonly localAddresses: (name: string) => readonly IpAddress[] | undefined;
  /** The guest that has an address, or that rules may call so. */
  readonly guestOf: (text: string) => Guest | undefined;
  /** Whether it is a link of the multiplexer: by one names open nothing, and nothing is redirected. */
  readonly isMux: (text: string) => boolean;
  /** No frame passes between guests, whatever the policy is. */
  readonly isIsolated: boolean;
}

/** Of the Internet: documentation (RFC 5737), one that no rule is for. */
const ELSEWHERE: readonly IpAddress[] = [0xc000_0201, 0xc633_6401, 0xcb00_7101].map((word) =>
  ipv4(word | 0),
);

/** Who asks: a guest that is there, or what rules would call it. */
interface Asker {
  readonly guest: Guest | undefined;
  readonly calls: readonly string[];
  readonly isMux: boolean;
}

interface Outcome {
  readonly isAllowed: boolean;
  /** Of the policy; undefined: another reason. */
  readonly judged: Judged | undefined;
  readonly why: string;
  readonly isInspected: boolean;
}

/** Has the last thing that it was asked. */
class StandInPolicy extends GuestPolicy {
  private last: Judged | undefined = undefined;

  takeLast(): Judged | undefined {
    const { last } = this;
    this.last = undefined;
    return last;
  }

  override judge(engine: PolicyEngine, owner: Guest, target: PolicyTarget): Judged {
    this.last = super.judge(engine, owner, target);
    return this.last;
  }
}

export class PolicyProber {
  private readonly deps: PolicyProberDeps;
  private readonly policy: StandInPolicy;
  private readonly destinations: Destinations;
  private readonly standIn = new Guest(0, new Owner('a test of the policy'), 0);
  private calls: readonly string[] = [];
  private names: readonly string[] = [];

  constructor(deps: PolicyProberDeps) {
    this.deps = deps;
    this.policy = new StandInPolicy({
      ...deps.policy.surroundings,
      names: { all: () => this.names },
      namesOf: () => this.calls,
    });
    this.destinations = deps.destinations.decidingBy(this.policy);
  }

  /**
   * @param documented how many rules the document has, in front of those of a preset
   * @throws PolicyError for what names no destination
   */
  test({ guest, destination, protocol }: PolicyProbe, documented: number): PolicyVerdictView {
    const asked = parseDestination(destination, protocol);
    const found = guest === '' ? undefined : this.deps.guestOf(guest);
    const named = guest === '' ? [] : [guest];
    const calls = found === undefined ? named : this.deps.policy.callsOf(found);
    const asker = { guest: found, calls, isMux: this.deps.isMux(guest) };
    this.policy.replace(this.deps.policy.engine);
    if ('address' in asked) {
      const names = this.namesAt(asker, asked.address);
      const outcome = this.at(asker, asked.address, asked.port, protocol, names);
      return viewOf(outcome, documented, this.isObserving, false);
    }
    return this.testName(asker, asked.name, asked.port, protocol, documented);
  }

  private testName(
    asker: Asker,
    name: string,
    port: number,
    protocol: PolicyProbe['protocol'],
    documented: number,
  ): PolicyVerdictView {
    const { engine } = this.policy;
    const at = (address: IpAddress, names: readonly string[]): Outcome =>
      this.at(asker, address, port, protocol, names, name);
    const local = this.deps.localAddresses(name);
    if (local !== undefined) {
      const outcome = worst(local.map((address) => at(address, [name])));
      return viewOf(outcome ?? NO_ADDRESS, documented, this.isObserving, false);
    }
    const now = this.deps.clock.now();
    if (engine !== undefined && engine.decideName(asker.calls, name, now) !== 'allow') {
      const literal = this.at(asker, this.elsewhere(), port, protocol, []);
      const verdict = engine.verdictOfName(asker.calls, name, now);
      const judged: Judged = { verdict, place: 'outside', names: [name] };
      const refused = { isAllowed: false, judged, why: whyNotAsked(verdict), isInspected: false };
      return viewOf(refused, documented, this.isObserving, literal.isAllowed);
    }
    const pinned =
      asker.guest === undefined ? [] : this.deps.names.addressesOf(now, asker.guest, name);
    const outcome =
      worst(pinned.map((address) => at(address, this.namesAt(asker, address)))) ??
      at(this.elsewhere(), [name]);
    const literal = outcome.isAllowed
      ? outcome
      : this.at(asker, pinned[0] ?? this.elsewhere(), port, protocol, []);
    return viewOf(outcome, documented, this.isObserving, !outcome.isAllowed && literal.isAllowed);
  }

  private get isObserving(): boolean {
    return this.policy.engine?.mode === 'observe';
  }

  private namesAt({ guest }: Asker, address: IpAddress): readonly string[] {
    const { names, clock } = this.deps;
    return guest === undefined ? [] : names.all(clock.now(), guest, address);
  }

  private elsewhere(): IpAddress {
    const { engine } = this.policy;
    const [first = ipv4(0)] = ELSEWHERE;
    return ELSEWHERE.find((one) => engine?.hasNetworkFor(one) !== true) ?? first;
  }

  /** Frames, that the segment lets pass, or not. */
  private atNeighbor(): Outcome {
    const { engine } = this.policy;
    const rest = { judged: undefined, isInspected: false };
    if (this.deps.isIsolated) return { ...rest, isAllowed: false, why: ISOLATED };
    if (engine === undefined) return { ...rest, isAllowed: true, why: FREE };
    const verdict = this.policy.verdictOfGuests(engine);
    const judged: Judged = { verdict, place: 'guest', names: [] };
    return { ...rest, isAllowed: isAllowed(judged), judged, why: verdict.text };
  }

  /** @param stated by the client, where it is asked */
  private at(
    { calls, isMux }: Asker,
    { a, b, c, d }: IpAddress,
    port: number,
    protocol: PolicyProbe['protocol'],
    names: readonly string[],
    stated?: string,
  ): Outcome {
    this.calls = calls;
    this.names = isMux ? [] : names;
    const words = Int32Array.of(a, b, c, d);
    if (this.destinations.isNeighbor(words)) return this.atNeighbor();
    const to = this.destinations.decide(this.standIn, protocol, words, 0, port);
    const judged = this.policy.takeLast();
    const isDenied = judged !== undefined && !isAllowed(judged);
    const isRefused = to.kind === 'refused' || ((isMux || to.kind !== 'dns') && isDenied);
    const check = to.kind === 'host-loopback' || to.kind === 'outside' ? to.check : undefined;
    const isInspected = check !== undefined;
    if (isRefused || check === undefined || stated === undefined) {
      const open = this.policy.engine !== undefined && to.kind === 'gateway' ? OWN_DNS : FREE;
      const other = to.kind === 'refused' ? `${to.why}: no guest may go there` : open;
      const why = judged?.verdict.text ?? other;
      return { isAllowed: !isRefused, judged, why, isInspected };
    }
    const denial = check.onClaim({ by: 'tls', name: stated, hello: undefined });
    const why = denial ?? judged?.verdict.text ?? FREE;
    return { isAllowed: denial === undefined, judged, why, isInspected };
  }
}

const FREE = 'there is no policy';
const OWN_DNS = 'the DNS of the gateway is always there';
const ISOLATED = 'guests are isolated from each other: no guest may go there';
const NO_ADDRESS: Outcome = {
  ...{ isAllowed: false, judged: undefined, isInspected: false },
  why: 'the name has no address here',
};

const isAllowed = ({ verdict }: Judged): boolean => verdict.action === 'allow';

const worst = (outcomes: readonly Outcome[]): Outcome | undefined =>
  outcomes.find((one) => !one.isAllowed) ?? outcomes[0];

function viewOf(
  { isAllowed: allowed, judged, why, isInspected }: Outcome,
  documented: number,
  isObserved: boolean,
  bestEffort: boolean,
): PolicyVerdictView {
  const verdict = judged?.verdict;
  const denied = verdict === undefined || verdict.action === 'allow' ? 'deny' : verdict.action;
  const index = verdict === undefined || verdict.rule < 0 ? undefined : verdict.rule;
  return {
    action: allowed ? 'allow' : denied,
    rule: why,
    index: index === undefined || index >= documented ? null : index,
    bestEffort,
    observed: isObserved,
    inspected: isInspected,
  };
}

type Destination = { readonly port: number } & (
  | { readonly name: string }
  | { readonly address: IpAddress }
);

/** As rules call them: what has many names. */
const PLACES: ReadonlyMap<string, string> = new Map([
  ['host', 'host.docker.internal'],
  ['gateway', 'gateway.docker.internal'],
]);

function parseDestination(text: string, protocol: PolicyProbe['protocol']): Destination {
  const [, bracketed, plain = '', digits] =
    /^(?:\[([^\]]+)\]|([^:[\]]+|[0-9a-f:.]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = protocol === 'icmp' ? 0 : Number(digits ?? '0');
  const address = parseAddress(host);
  const name = address === undefined ? statedName(PLACES.get(host) ?? asciiName(host)) : undefined;
  const isSound = protocol === 'icmp' || (port >= 1 && port <= 65_535);
  if (isSound && address !== undefined) return { address, port };
  if (isSound && name !== undefined && !isNumeric(name)) return { name, port };
  throw new PolicyError(
    `${JSON.stringify(text.slice(0, 80))} must be NAME:PORT, IP:PORT, [IPV6]:PORT, host:PORT or gateway:PORT`,
  );
}
