import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { SetAside } from './set-aside.ts'
import { type Doc, fits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'

/**
 * What comes out of the database passes here before any code relies on it. What does not fit is noted and left out: no
 * loop, report or start depends on any single document.
 */
export class DocumentGate {
  readonly setAside: SetAside

  constructor(db: mongo.Db, setAside = new SetAside(db)) {
    this.setAside = setAside
  }

  /** Whether a document may be relied on. */
  isReadable(collection: ShapedCollection, doc: object): boolean {
    return fits(SHAPES[collection], doc as Doc)
  }

  /** Whether a document may be relied on; notes it where not. */
  lets(collection: ShapedCollection, doc: object): boolean {
    if (fits(SHAPES[collection], doc as Doc)) return true
    this.setAside.note(collection, doc as Doc)
    return false
  }

  /** Those that may be relied on. */
  all<T extends object>(collection: ShapedCollection, docs: readonly T[]): T[] {
    return docs.filter((doc) => this.lets(collection, doc))
  }

  /** The document, or null where there is none that may be relied on. */
  one<T extends object>(collection: ShapedCollection, doc: T | null): T | null {
    return doc !== null && this.lets(collection, doc) ? doc : null
  }

  /** The document that somebody asked for by its id. @throws {FleetError} `CORRUPT` */
  required<T extends object>(collection: ShapedCollection, doc: T): T {
    if (this.lets(collection, doc)) return doc
    throw new FleetError(
      'CORRUPT',
      "Its document does not fit and is set aside: 'taskfleet doctor' says what is wrong with it",
      { field: 'id' },
    )
  }
}
