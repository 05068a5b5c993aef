import { ArrowUp, Plus, X } from 'lucide-react'
import { useState } from 'react'
import { COLUMN_NAMES, columnOf, DEFAULT_COLUMNS, type TaskColumn } from '../view/task-columns.ts'
import { visibleLine } from '../view/text.ts'
import { Button, LinkButton } from './button.tsx'
import { IconButton } from './icon-button.tsx'

interface Props {
  columns: readonly TaskColumn[]
  /** Paths that the rows have, such as `labels.customer`. */
  paths: readonly string[]
  /** Called with the names of the columns, as in the address; undefined for the usual ones. */
  onChange: (columns: string | undefined) => void
}

/** Which columns the list has, and in which order. */
export function ColumnChooser({ columns, paths, onChange }: Props) {
  const [path, setPath] = useState('')
  const ids = columns.map(({ id }) => id)
  const change = (next: readonly string[]) => onChange(next.join(',') === DEFAULT_COLUMNS ? undefined : next.join(','))
  const left = COLUMN_NAMES.filter((name) => !ids.includes(name))
  const wanted = path.trim().replace(/^label\./, 'labels.')
  const isPath = columnOf(wanted) !== undefined && !ids.includes(wanted)
  const add = () => {
    if (!isPath) return
    change([...ids, wanted])
    setPath('')
  }
  return (
    <div className="flex flex-col gap-2">
      <ol aria-label="Columns shown" className="flex flex-wrap gap-1.5">
        {columns.map(({ id, title }, index) => (
          <li key={id} className="flex items-center rounded-md border border-line bg-raised pl-2.5 text-xs font-medium">
            {visibleLine(title, 40)}
            {index > 0 && (
              <IconButton
                icon={ArrowUp}
                label={`Move ${visibleLine(title, 40)} to the left`}
                title="To the left"
                className="ml-1 size-7 -rotate-90"
                onClick={() => change(ids.toSpliced(index - 1, 2, id, ids[index - 1]!))}
              />
            )}
            {id === 'title' ? (
              <span className="w-2" />
            ) : (
              <IconButton
                icon={X}
                label={`Hide ${visibleLine(title, 40)}`}
                title="Hide"
                className="size-7"
                onClick={() => change(ids.filter((one) => one !== id))}
              />
            )}
          </li>
        ))}
      </ol>
      <div className="flex flex-wrap items-center gap-1.5">
        {left.map((name) => (
          <Button
            key={name}
            icon={Plus}
            className="min-h-7 px-2 py-0 text-xs text-dim"
            aria-label={`Show ${columnOf(name)!.title}`}
            onClick={() => change([...ids, name])}
          >
            {columnOf(name)!.title}
          </Button>
        ))}
      </div>
      <form
        className="flex flex-wrap items-center gap-1.5"
        onSubmit={(event) => {
          event.preventDefault()
          add()
        }}
      >
        <input
          className="field min-h-7 w-60 font-mono text-xs"
          aria-label="A label or a path of the input"
          placeholder="labels.customer or input.to"
          list="column-paths"
          value={path}
          onChange={(event) => setPath(event.target.value)}
        />
        <datalist id="column-paths">
          {paths.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <Button type="submit" icon={Plus} className="min-h-7 py-0 text-xs" disabled={!isPath}>
          Add column
        </Button>
        {ids.join(',') !== DEFAULT_COLUMNS && (
          <LinkButton className="px-1.5 py-1 text-xs" onClick={() => onChange(undefined)}>
            The usual columns
          </LinkButton>
        )}
        {wanted !== '' && !isPath && (
          <p role="status" className="text-xs text-dim">
            {ids.includes(wanted)
              ? 'This column is shown already.'
              : 'Write labels., input., output. or progress. with a path.'}
          </p>
        )}
      </form>
    </div>
  )
}
