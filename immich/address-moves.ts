/** Whose e-mail address changes in one run: an address belongs to one account in Immich at every moment. */
interface Move {
  /** The person's name in the family list. */
  name: string;
  from: string;
  to: string;
}

export class AddressMoves {
  readonly #moves = new Map<string, Move>();

  /** Takes note of a person, by URN. `from` is missing for somebody who is new. */
  note(urn: string, name: string, from: string | undefined, to: string): void {
    if (from === undefined || from === to) this.#moves.delete(urn);
    else this.#moves.set(urn, { name, from, to });
  }

  /** The people, with this one, who are each to get the address that the next one has: nobody can go first. */
  ring(urn: string): Move[] {
    const first = this.#moves.get(urn);
    const ring: Move[] = [];
    for (let move = first; move; move = this.#holder(move.to)) {
      ring.push(move);
      if (move.to === first!.from) return ring;
      if (ring.length > this.#moves.size) break;
    }
    return [];
  }

  /** Whether the one who has this address is to get another. */
  isLeft(address: string): boolean {
    return this.#holder(address) !== undefined;
  }

  #holder(address: string): Move | undefined {
    return [...this.#moves.values()].find(({ from }) => from === address);
  }
}

export function ringRefusal(ring: Move[]): string {
  const wanted = ring.map(({ name, from, to }) => `${name} from "${from}" to "${to}"`).join(", ");
  return `These e-mail addresses change places, which Immich cannot do, since an address belongs to one account at every moment: ${wanted}. Do it in two steps: give ${ring[0]!.name} a third address for a moment, and deploy; then give everybody the address that they are to have, and deploy again. Nothing was changed.`;
}
