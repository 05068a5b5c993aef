import { Link } from '@tanstack/react-router'
import { Trash2 } from 'lucide-react'
import { useState } from 'react'
import { dropView, type SavedView, savedViews, saveView, searchOfView, writeView } from '../shell/saved-views.ts'
import type { RangeSearch } from '../view/range.ts'
import type { TaskSearch } from '../view/task-search.ts'
import { visibleLine } from '../view/text.ts'
import { Button } from './button.tsx'
import { IconButton } from './icon-button.tsx'

interface Props {
  /** What is shown now. */
  search: TaskSearch & RangeSearch
  onClose: () => void
}

/** The named views of this browser. To share one, send its address. */
export function SavedViews({ search, onClose }: Props) {
  const [views, setViews] = useState<SavedView[]>(savedViews)
  const [name, setName] = useState('')
  const here = writeView(search)
  return (
    <div className="flex flex-col gap-2">
      {views.length === 0 ? (
        <p className="text-xs text-dim">
          Name what is shown now, its filters, range, order and columns with their widths, to find it here and in the
          search (Ctrl K).
        </p>
      ) : (
        <ul aria-label="Saved views" className="flex flex-wrap gap-1.5">
          {views.map((view) => (
            <li
              key={view.name}
              className={`flex max-w-full items-center rounded-md border pl-2.5 text-xs font-medium ${view.search === here ? 'border-run bg-raised' : 'border-line'}`}
            >
              <Link
                to="/tasks"
                search={searchOfView(view) as TaskSearch}
                className="truncate py-1 hover:underline"
                onClick={onClose}
              >
                {visibleLine(view.name, 60)}
              </Link>
              <IconButton
                icon={Trash2}
                label={`Forget ${visibleLine(view.name, 60)}`}
                title="Forget"
                danger
                className="size-7"
                onClick={() => setViews(dropView(view.name))}
              />
            </li>
          ))}
        </ul>
      )}
      <form
        className="flex flex-wrap items-center gap-1.5"
        onSubmit={(event) => {
          event.preventDefault()
          if (name.trim() === '') return
          setViews(saveView(name, search))
          setName('')
        }}
      >
        <input
          className="field min-h-7 w-60 text-xs"
          aria-label="Name of the view"
          placeholder="Failed mails of today"
          maxLength={60}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Button type="submit" className="min-h-7 py-0 text-xs" disabled={name.trim() === ''}>
          {views.some((view) => view.name === name.trim()) ? 'Replace it' : 'Save this view'}
        </Button>
        <p className="text-xs text-dim">Kept in this browser. Send the address of the page to share it.</p>
      </form>
    </div>
  )
}
