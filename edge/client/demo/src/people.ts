// Who works at the demo's firm, and the token of whom the window is used as.

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly token: string;
}

interface About {
  people: Person[];
}

/** Asks the server, which answers on its own machine alone. Every answer has new tokens. */
export async function people(): Promise<Person[]> {
  const answer = await fetch('/demo.json', { cache: 'no-store' });
  if (!answer.ok) throw new Error('this server gives no demo tokens, because it can be reached from other machines');
  return ((await answer.json()) as About).people;
}

export async function tokenOf(id: string): Promise<string | null> {
  return (await people()).find((person) => person.id === id)?.token ?? null;
}

/** Whom the address names, else whom this window last was, else the first. */
export function whoIsHere(all: readonly Person[]): Person {
  const named = new URLSearchParams(location.search).get('user') ?? sessionStorage.getItem('lexiflow-demo-user');
  const person = all.find(({ id }) => id === named) ?? all[0]!;
  sessionStorage.setItem('lexiflow-demo-user', person.id);
  return person;
}

export function initials(name: string): string {
  return name.split(' ').map((part) => part[0]).join('').slice(0, 2).toUpperCase();
}

export function nameOf(all: readonly Person[], id: string): string {
  return all.find((person) => person.id === id)?.name ?? id;
}
