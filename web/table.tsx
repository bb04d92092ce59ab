/// <reference lib="dom" />
// Tables that a phone shows as cards: the name of its column stands before each cell there. The roles are said once more,
// because browsers take those of a table away that is laid out as something else.

import type { ComponentChildren } from "preact";

/** A table; `caption` says what it lists. */
export function Table(
  { caption, columns, children }: {
    caption: string;
    columns: readonly string[];
    children: ComponentChildren;
  },
) {
  return (
    <table role="table">
      <caption class="unseen">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => <th key={column} role="columnheader" scope="col">{column}</th>)}
        </tr>
      </thead>
      <tbody role="rowgroup">{children}</tbody>
    </table>
  );
}

export function Row({ children }: { children: ComponentChildren }) {
  return <tr role="row">{children}</tr>;
}

/** What a row is about. */
export function HeadCell({ column, children }: { column: string; children: ComponentChildren }) {
  return <th role="rowheader" scope="row" data-column={column}>{children}</th>;
}

export function Cell({ column, children }: { column: string; children: ComponentChildren }) {
  return <td role="cell" data-column={column}>{children}</td>;
}

/** Name and value of single things. */
export function Facts(
  { facts }: { facts: readonly (readonly [name: string, value: ComponentChildren])[] },
) {
  return (
    <dl>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
