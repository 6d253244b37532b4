/** Ports, which come out in ascending order: as bits, since it takes long to sort many. */

const PORTS = 65_536;

export class PortSet {
  private readonly bits = new Uint32Array(PORTS / 32);
  private size = 0;

  add(port: number): void {
    const word = this.bits[port >> 5] ?? 0;
    const bit = 1 << (port & 31);
    if ((word & bit) !== 0) return;
    this.bits[port >> 5] = word | bit;
    this.size++;
  }

  /** All of them, ascending; none is left. */
  take(): Int32Array<ArrayBuffer> {
    const ports = new Int32Array(this.size);
    let n = 0;
    for (let at = 0; n < ports.length; at++) {
      for (let left = this.bits[at] ?? 0; left !== 0; left &= left - 1) {
        ports[n++] = at * 32 + 31 - Math.clz32(left & -left);
      }
    }
    this.bits.fill(0);
    this.size = 0;
    return ports;
  }
}
