import { isPlainObject } from '../documents/plain.ts'
import type { IndexSpec } from './index-specs.ts'
import { INDEXES } from './indexes.ts'

type Filter = Record<string, unknown>
type Sort = Record<string, 1 | -1>
type Condition = Record<string, unknown>

/** How a server can answer a query without reading a whole collection. */
export interface QueryPlan {
  /** `filter`: an index holds the documents between the bounds of the filter. `sort`: it is read in the order of the sort, up to the limit. */
  by: 'filter' | 'sort'
  /** The names of the indexes; one for each branch of an `$or`. */
  indexes: string[]
}

/**
 * The plan that an index allows for a query, by the rules of MongoDB's planner: the first key of the index is bounded by the filter, or
 * its keys have the order of the sort. A partial or sparse index serves only filters that imply what it holds. What no bounds are
 * known for, such as `$not` or `$expr`, counts as unbounded.
 *
 * @param sort for queries with a limit; without it, the filter must be bounded
 * @returns undefined if the whole collection would be read
 */
export function planOf(
  collection: string,
  filter: Filter,
  sort: Sort = {},
  specs: readonly IndexSpec[] = INDEXES,
): QueryPlan | undefined {
  const indexes = [idIndex(collection), ...specs.filter((spec) => spec.collection === collection)]
  const conjuncts = conjunctsOf(filter)
  const bounding = boundingIndexes(conjuncts, indexes)
  if (bounding !== undefined) return { by: 'filter', indexes: bounding }
  const keys = Object.entries(sort)
  const ordered =
    keys.length > 0 && indexes.find((index) => holdsAll(index, conjuncts) && inOrder(index, conjuncts, keys))
  return ordered ? { by: 'sort', indexes: [ordered.name] } : undefined
}

/** The direction in which `_id` breaks ties, so that an index has the order of the whole sort; ascending if there is none. */
export function tieBreak(collection: string, sort: Sort): 1 | -1 {
  const keys = Object.entries(sort)
  for (const direction of [1, -1] as const) {
    const whole = [...keys, ['_id', direction]]
    const isPrefix = (index: IndexSpec, way: 1 | -1): boolean =>
      whole.every(([field, wanted], place) => {
        const [key, stored] = Object.entries(index.key)[place] ?? []
        return key === field && stored === (wanted as number) * way
      })
    if (INDEXES.some((index) => index.collection === collection && (isPrefix(index, 1) || isPrefix(index, -1)))) {
      return direction
    }
  }
  return 1
}

const idIndex = (collection: string): IndexSpec => ({ collection, name: '_id_', key: { _id: 1 } })

/** What a filter requires of each path, and the alternatives of each `$or`. */
interface Conjuncts {
  fields: Map<string, Condition[]>
  choices: Filter[][]
}

function conjunctsOf(filter: Filter, into: Conjuncts = { fields: new Map(), choices: [] }): Conjuncts {
  for (const [path, value] of Object.entries(filter)) {
    if (path === '$and') for (const part of value as Filter[]) conjunctsOf(part, into)
    else if (path === '$or') into.choices.push(value as Filter[])
    else if (!path.startsWith('$')) into.fields.set(path, [...(into.fields.get(path) ?? []), conditionOf(value)])
  }
  return into
}

const conditionOf = (value: unknown): Condition => {
  if (value instanceof RegExp) return { $regex: value }
  const isCondition = isPlainObject(value) && Object.keys(value).some((key) => key.startsWith('$'))
  return isCondition ? value : { $eq: value }
}

/** An index whose first key the filter bounds, or one for each branch of an `$or`. */
function boundingIndexes(conjuncts: Conjuncts, indexes: readonly IndexSpec[]): string[] | undefined {
  const one = indexes.find((index) => holdsAll(index, conjuncts) && isBounded(index, conjuncts))
  if (one !== undefined) return [one.name]
  for (const branches of conjuncts.choices) {
    const choices = conjuncts.choices.filter((other) => other !== branches)
    const plans = branches.map((branch) =>
      boundingIndexes(conjunctsOf(branch, { fields: new Map(conjuncts.fields), choices: [...choices] }), indexes),
    )
    if (plans.every((plan) => plan !== undefined)) return [...new Set(plans.flat())]
  }
  return undefined
}

/** Whether the index has an entry for every document that can match. */
function holdsAll({ key, sparse, partialFilterExpression = {} }: IndexSpec, { fields }: Conjuncts): boolean {
  if (sparse && !Object.keys(key).some((path) => fields.get(path)?.some(needsValue))) return false
  return Object.entries(partialFilterExpression).every(([path, held]) => {
    const asked = fields.get(path) ?? []
    if ((held as Condition | null)?.$exists === true) return asked.some(needsValue)
    // A server takes an equal condition only, not one that is narrower.
    return asked.some((one) => JSON.stringify(plain(one)) === JSON.stringify(plain(conditionOf(held))))
  })
}

/** A list of one value is an equality. */
const plain = ({ $in: among, ...rest }: Condition): Condition =>
  Array.isArray(among) ? (among.length === 1 ? { ...rest, $eq: among[0] } : { ...rest, $in: among }) : rest

/** Whether a document without the field can't match. */
const needsValue = (condition: Condition): boolean =>
  condition.$exists === true || (hasBounds(condition) && ![condition.$eq, condition.$in].flat().includes(null))

function isBounded({ key, partialFilterExpression }: IndexSpec, { fields }: Conjuncts): boolean {
  const [first = '', second = ''] = Object.keys(key)
  const bounds = (path: string): boolean => fields.get(path)?.some(hasBounds) === true
  if (first.endsWith('.$**'))
    return [...fields.keys()].some((path) => path.startsWith(first.slice(0, -3)) && bounds(path))
  // Half of a history may have the same status, unless the index holds the tasks of one phase alone.
  const isBroad = first === 'status' && partialFilterExpression?.status === undefined
  return bounds(first) && (!isBroad || bounds(second))
}

const BOUNDS = ['$eq', '$in', '$gt', '$gte', '$lt', '$lte', '$all']

function hasBounds(condition: Condition): boolean {
  const { $regex: pattern } = condition
  const isPrefix = pattern instanceof RegExp && pattern.source.startsWith('^') && !pattern.flags.includes('i')
  return isPrefix || BOUNDS.some((operator) => condition[operator] !== undefined)
}

function inOrder({ key }: IndexSpec, { fields }: Conjuncts, sort: [string, 1 | -1][]): boolean {
  const isFixed = (path: string): boolean => fields.get(path)?.some((one) => plain(one).$eq !== undefined) === true
  const wanted = [...sort]
  let way: number | undefined
  for (const [path, stored] of Object.entries(key)) {
    const [next] = wanted
    if (next === undefined) return true
    if (path !== next[0]) {
      if (isFixed(path)) continue
      return false
    }
    way ??= stored * next[1]
    if (stored * next[1] !== way) return false
    // No two documents have the same id, so nothing is left to sort.
    if (path === '_id') return true
    wanted.shift()
  }
  return wanted.length === 0
}
