"""How RocksDB is tuned, and why."""

from __future__ import annotations

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
)

from soundstage.engines.rocks.options import RocksOptions

_BLOOM_BITS = 10
"""One look-up in a hundred for an absent key reads a block in vain."""

_MEMORY_BLOOM_SHARE = 0.02
"""Of the memory for writes: ten bits for each row, were they of 64 bytes."""


def block_cache(size: int) -> Cache:
    """The cache of `size` bytes that the families of a database share."""
    # The older kind is split into 64 parts, and the index of a large file fits into none of them: of a cache of
    # 32 MiB every look-up read its index anew, at a hundred times the time.
    return Cache.new_hyper_clock_cache(size, 0)


def open_options(options: RocksOptions, cache: Cache) -> Options:
    """For the database and its default column family."""
    tuned = family_options(options, cache)
    tuned.create_if_missing(True)
    tuned.create_missing_column_families(True)
    # A torn last record is a write nobody was told of; a hole before the end is a loss and must be seen.
    tuned.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    tuned.set_recycle_log_file_num(0)
    tuned.set_paranoid_checks(True)
    tuned.set_max_open_files(options.open_files)
    tuned.set_max_background_jobs(2)
    tuned.set_bytes_per_sync(1 << 20)
    tuned.set_max_total_wal_size(4 * options.write_buffer)
    tuned.set_keep_log_file_num(5)
    tuned.set_max_log_file_size(4 << 20)
    # One flush writes all families, so that an old one does not keep the log from being deleted.
    tuned.set_atomic_flush(True)
    # Most look-ups are of what is absent from memory: a new record's header, or a row that is in a file. It takes the
    # memory when the family is opened, so that others, of which there may be many, go without.
    tuned.set_memtable_prefix_bloom_ratio(_MEMORY_BLOOM_SHARE)
    tuned.set_memtable_whole_key_filtering(True)
    return tuned


def family_options(options: RocksOptions, cache: Cache) -> Options:
    """For one column family; all share `cache`."""
    tuned = Options(raw_mode=True)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(_BLOOM_BITS, False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    blocks.set_format_version(5)
    tuned.set_block_based_table_factory(blocks)
    tuned.set_write_buffer_size(options.write_buffer)
    tuned.set_compression_type(DBCompressionType.lz4())
    tuned.set_bottommost_compression_type(DBCompressionType.zstd())
    tuned.set_level_compaction_dynamic_level_bytes(True)
    return tuned
