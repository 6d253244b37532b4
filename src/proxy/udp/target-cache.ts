/** The resolved target of a flow's last remote: resolved when the remote changes, not per datagram. */
import { KEY_REMOTE, keyRemote } from '../../base/flow-key.ts';
import { addressFromWords, type IpAddress } from '../../base/ip-address.ts';
import type { AddressMap } from '../address-map.ts';
import { type HostTarget, hostTarget } from './host-target.ts';

export class TargetCache {
  port = -1;
  private readonly words: Int32Array = new Int32Array(4);
  private target: HostTarget | undefined = undefined;

  get remote(): IpAddress {
    return addressFromWords(this.words, 0);
  }

  /** @returns the target; undefined when guests may not reach it */
  lookup(addresses: AddressMap, key: Int32Array, port: number): HostTarget | undefined {
    const words = this.words;
    if (
      port === this.port &&
      words[3] === key[KEY_REMOTE + 3] &&
      words[2] === key[KEY_REMOTE + 2] &&
      words[1] === key[KEY_REMOTE + 1] &&
      words[0] === key[KEY_REMOTE]
    ) {
      return this.target;
    }
    for (let i = 0; i < 4; i++) words[i] = key[KEY_REMOTE + i] ?? 0;
    this.port = port;
    const target = addresses.classify(keyRemote(key));
    this.target =
      target.kind === 'outside' || target.kind === 'host-loopback'
        ? hostTarget(target.address, port)
        : undefined;
    return this.target;
  }
}
