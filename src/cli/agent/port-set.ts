import { portKey, type WantedPort } from './wanted-port.ts';

/** Ports by their place on the host: of two that want one the first has it, and those beyond `max` are counted. */
export class PortSet {
  readonly ports: Map<string, WantedPort> = new Map();
  private readonly max: number;
  private readonly beyond = new Set<string>();

  constructor(max: number) {
    this.max = max;
  }

  get leftOut(): number {
    return this.beyond.size;
  }

  add(port: WantedPort): void {
    const key = portKey(port);
    if (this.ports.has(key)) return;
    if (this.ports.size < this.max) this.ports.set(key, port);
    else this.beyond.add(key);
  }
}
