"""Which tests provoke each kind of bad input and each fault. The numbers are stable: others refer to them."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A kind of bad input or a fault, and the tests that provoke it; none: it is not covered."""

    number: int
    what: str
    tests: tuple[str, ...]


KINDS = 55
"""Kinds of bad input. The faults of machine, terminal and surroundings follow, numbered on."""


def _case(number: int, what: str, *tests: str) -> Case:
    return Case(number, what, tuple(f"tests/{test}" for test in tests))


_TEXT = "properties/test_text.py::test_no_control_character_is_left"
_RAW = "cli/test_main.py::test_hostile_text_is_never_sent_raw"
_SCREEN = "end_to_end/test_screen.py::test_hostile_names_are_sanitized"
_ROW = "ui/runs/test_runs_pane.py::test_hostile_names_are_shown_as_text_on_one_row"
_USAGE = "cli/test_main.py::test_wrong_input_is_one_line_and_exit_code_2"
_TAR = "io/test_archives.py::test_links_and_devices_in_a_tar_are_refused"
_OUT = "io/test_archives.py::test_paths_that_lead_out_are_refused"
_UNREADABLE = "datasets/test_image_folder.py::test_unreadable_images_are_skipped"
_NOT_IMAGE = "io/test_images.py::test_a_file_that_is_not_an_image_is_named"
_UNLEARNABLE = "datasets/test_image_folder.py::test_unlearnable_folders_are_errors"
_SETTINGS = "config/test_experiment.py::test_invalid_settings_are_reported_in_one_line"
_CHOICES = "config/test_experiment.py::test_invalid_choices_are_reported_before_anything_starts"
_PICKLE = "io/test_torch_files.py::test_a_malicious_pickle_is_refused_and_not_executed"
_HOME = "hostile/test_surroundings.py::test_a_run_in_a_strange_home_and_environment"
_FOLDER = "hostile/test_datasets.py"
_SURROUNDINGS = "hostile/test_surroundings.py"
_LIVE = "hostile/test_live_run.py"
_LARGE = "hostile/test_large_runs.py"
_APP = "hostile/test_screen.py"

CASES: tuple[Case, ...] = (
    _case(1, "CSI sequences in names", _TEXT, _SCREEN),
    _case(2, "OSC 52 in names", _RAW, _SCREEN),
    _case(3, "C1 control characters in names", _RAW, _ROW),
    _case(4, "closing markup tags in names", _ROW, "ui/test_app.py::test_hostile_names_are_sanitized"),
    _case(5, "clickable markup in names", _SCREEN, _ROW),
    _case(6, "color markup and unbalanced brackets in names", _ROW),
    _case(7, "newline, CR, BS and NUL in names", _TEXT, _ROW),
    _case(8, "bidi overrides in names", _TEXT, _ROW),
    _case(9, "file names that are not UTF-8",
          "datasets/test_image_folder.py::test_names_of_any_bytes_are_kept",
          "ui/widgets/test_form.py::test_a_name_that_is_not_utf8_is_displayed_and_can_be_chosen"),
    _case(10, "10 kB of wide characters",
          "core/test_text.py::test_long_wide_text_is_cut_by_cells",
          "properties/test_text.py::test_text_is_cut_to_its_width"),
    _case(11, "run names ../x, /abs, -rf, empty, .",
          "config/test_experiment.py::test_invalid_run_names_are_rejected", _USAGE),
    _case(12, "hostile text printed after the app has closed",
          "ui/test_app.py::test_quitting_stops_no_run"),
    _case(13, "a pickle with __reduce__", _PICKLE,
          "properties/test_checkpoints.py::test_calls_in_a_pickle_are_refused"),
    _case(14, "a pickle that is not a state dict",
          "io/test_torch_files.py::test_a_plain_pickle_is_refused_and_not_executed",
          "io/test_torch_files.py::test_a_whole_module_is_refused_with_what_to_do"),
    _case(15, "an empty or truncated checkpoint",
          "io/test_torch_files.py::test_damaged_files_are_named",
          "worker/test_checkpoints.py::test_a_truncated_newest_checkpoint_is_skipped"),
    _case(16, "one flipped bit in a checkpoint",
          "io/test_torch_files.py::test_one_flipped_bit_is_noticed",
          "worker/test_exactness.py::test_a_corrupt_newest_checkpoint_is_skipped_and_reported"),
    _case(17, "1 kB that claims a huge tensor",
          "io/test_torch_files.py::test_a_small_file_that_claims_a_huge_tensor",
          "io/test_torch_files.py::test_a_small_file_of_the_old_format_that_claims_a_huge_tensor"),
    _case(18, "wrong shapes or number of classes",
          "io/test_torch_files.py::test_mismatched_tensors_are_listed_in_one_line",
          "models/test_torchvision_models.py::test_weights_of_another_architecture_are_one_line"),
    _case(19, "NaN weights", "io/test_torch_files.py::test_weights_that_are_not_finite_are_refused"),
    _case(20, "safetensors with a huge header or overlapping offsets",
          "io/test_torch_files.py::test_safetensors_are_loaded",
          "properties/test_checkpoints.py::test_any_safetensors_file_is_read_or_refused"),
    _case(21, "a newer schema version", "hostile/test_records.py::test_a_run_of_a_newer_version_is_read_only"),
    _case(22, "a symlink, folder or FIFO in place of a checkpoint",
          "io/test_torch_files.py::test_a_fifo_does_not_block",
          "hostile/test_records.py::test_a_pipe_or_device_in_place_of_a_record_does_not_block"),
    _case(23, "archives with ../ and absolute names", _OUT,
          "properties/test_archives.py::test_members_of_a_tar_stay_in_its_folder"),
    _case(24, "archives with links out of the folder", _TAR,
          "io/test_archives.py::test_links_in_a_zip_are_refused"),
    _case(25, "archives with device nodes", _TAR),
    _case(26, "a zip bomb", "hostile/test_datasets.py::test_a_real_zip_bomb_is_refused",
          "io/test_archives.py::test_bombs_are_refused"),
    _case(27, "PNGs of 400 and 121 megapixels",
          "hostile/test_datasets.py::test_a_real_png_of_400_megapixels_is_refused",
          "io/test_images.py::test_too_many_pixels_are_refused_from_the_header"),
    _case(28, "a truncated JPEG", _UNREADABLE, _NOT_IMAGE),
    _case(29, "text called .png", _UNREADABLE, _NOT_IMAGE),
    _case(30, "a file of zero bytes", _UNREADABLE, _NOT_IMAGE),
    _case(31, "CMYK, 16 bits, palette, alpha, animation, EXIF rotation",
          "io/test_images.py::test_transparency_is_blended_with_white_and_palettes_and_cmyk_become_rgb",
          "io/test_images.py::test_sixteen_bits_are_scaled_by_the_bits_in_use",
          "io/test_images.py::test_the_first_frame_of_what_moves",
          "io/test_images.py::test_every_orientation_is_known",
          "inference/test_classifier.py::test_every_run_classifies_every_image_mode"),
    _case(32, "images of 1×1 and 1×20000", "io/test_images.py::test_extreme_images_fit_without_much_memory",
          "inference/test_classifier.py::test_a_strip_costs_no_gigabytes"),
    _case(33, "an empty class folder", _UNLEARNABLE,
          "datasets/test_image_folder.py::test_an_empty_folder_is_left_out_wherever_it_is"),
    _case(34, "no class folders, one class, fewer images than a batch", _UNLEARNABLE,
          "cli/test_main.py::test_a_folder_without_classes_starts_nothing",
          "hostile/test_datasets.py::test_fewer_images_than_a_batch_are_one_batch"),
    _case(35, "a root that holds train/, val/ and test/",
          "datasets/test_image_folder.py::test_split_folders_are_splits_and_never_classes"),
    _case(36, "links to files outside of the root",
          "datasets/test_image_folder.py::test_links_out_of_the_folder_are_skipped",
          "datasets/test_image_folder.py::test_a_class_that_is_a_link_out_is_refused"),
    _case(37, "a dataset changed between stop and resume",
          "worker/test_exactness.py::test_changed_data_is_rejected_unless_accepted"),
    _case(38, "truncated or wrong files of a known dataset",
          "datasets/test_published.py::test_damaged_idx_files_are_named",
          "datasets/test_published.py::test_damaged_or_evil_pickles_are_named"),
    _case(39, "batch sizes, epochs and learning rates out of range", _SETTINGS),
    _case(40, "unknown keys, wrong types, broken TOML", _SETTINGS,
          "config/test_experiment.py::test_an_invalid_file_is_reported"),
    _case(41, "unknown dataset, model, device or recipe", _CHOICES, _USAGE),
    _case(42, "a model and a dataset that do not go together", _CHOICES),
    _case(43, "a run id that matches nothing, or several",
          "runs/test_store.py::test_runs_are_found_by_id_name_and_prefix",
          "properties/test_lookup.py::test_a_prefix_means_a_run_only_where_no_other_begins_so"),
    _case(44, "a full disk during a metrics line or a checkpoint",
          "end_to_end/test_full_disk.py::test_a_run_that_does_not_wait_stops_on_a_full_disk_and_resumes_with_free_space",
          "end_to_end/test_full_disk.py::test_a_disk_that_fills_during_a_checkpoint_leaves_the_older_checkpoints_intact"),
    _case(45, "a read-only or missing WORKBENCH_HOME",
          "hostile/test_surroundings.py::test_a_home_on_a_read_only_file_system_is_read",
          "runs/test_store.py::test_a_home_without_runs"),
    _case(46, "a run folder of another user, or world-writable",
          "runs/test_store.py::test_a_world_writable_run_is_read_only",
          "hostile/test_records.py::test_a_run_of_another_user_is_read_only"),
    _case(47, "a recycled pid", "runs/test_status.py::test_a_reused_pid_is_not_mistaken_for_the_launcher"),
    _case(48, "a clock that jumps", f"{_LIVE}::test_the_clock_is_set_back_and_forth_while_a_run_trains",
          "runs/test_status.py::test_a_changing_heartbeat_is_live_whatever_the_clocks_say"),
    _case(49, "torn, garbage, NaN or 10 MB metrics lines",
          "runs/test_records.py::test_unreadable_lines_are_skipped_and_counted",
          "runs/test_records.py::test_a_torn_last_line_costs_that_line_alone",
          "runs/test_records.py::test_numbers_that_json_has_not_survive"),
    _case(50, "two processes that resume one run",
          "worker/test_second_writers.py::test_of_two_simultaneous_resumes_one_wins"),
    _case(51, "SIGTERM, SIGHUP, SIGINT and SIGKILL to worker, supervisor and screen",
          "worker/test_kills.py::test_kills_at_every_named_point",
          "launcher/test_supervisor.py::test_a_signal_before_the_worker_listens_is_not_lost",
          "ui/test_terminal.py::test_a_signal_restores_the_terminal",
          "end_to_end/test_screen.py::test_a_killed_app_harms_no_run_that_it_started"),
    _case(52, "a loss of NaN",
          "worker/test_recovery.py::test_a_bad_loss_names_its_step_and_keeps_the_last_good_checkpoint",
          "cli/test_main.py::test_a_failed_run_exits_with_1_and_its_reason"),
    _case(53, "out of memory on the device",
          "worker/test_recovery.py::test_out_of_memory_reports_sizes_and_a_fitting_batch_size",
          "worker/test_recovery.py::test_a_batch_that_does_not_fit_is_computed_in_micro_batches"),
    _case(54, "URLs that are not http, redirect to a file, never end, are too large or not an image",
          "io/test_download.py::test_only_http_is_fetched",
          "io/test_download.py::test_redirects_leave_http_for_nothing_else",
          "io/test_download.py::test_a_file_that_never_ends_is_aborted",
          "io/test_download.py::test_too_large_a_file_is_given_up",
          "io/test_download.py::test_a_download_that_is_not_an_image_is_deleted"),
    _case(55, "no terminal, TERM=dumb, 20×5, NO_COLOR, LANG=C, dead stdin",
          "cli/test_main.py::test_the_screen_needs_a_terminal",
          "ui/test_screen_sizes.py::test_a_tiny_terminal_shows_the_required_size",
          "end_to_end/test_screen.py::test_limited_terminals",
          "ui/test_terminal.py::test_a_hangup_during_the_start"),
    _case(56, "WORKBENCH_HOME with spaces, quotes, a newline and bytes that are not UTF-8", _HOME),
    _case(57, "WORKBENCH_HOME behind a symbolic link", _HOME),
    _case(58, "WORKBENCH_HOME that dangles, loops or names an unknown user",
          f"{_SURROUNDINGS}::test_a_home_that_leads_nowhere_is_one_line"),
    _case(59, "WORKBENCH_HOME on a read-only file system",
          f"{_SURROUNDINGS}::test_a_home_on_a_read_only_file_system_is_read"),
    _case(60, "a clock set back", f"{_LIVE}::test_the_clock_is_set_back_and_forth_while_a_run_trains",
          "hostile/test_records.py::test_times_in_the_future_are_shown_and_listed"),
    _case(61, "two screens that act on the same run", f"{_APP}::test_two_screens_act_on_the_same_run"),
    _case(62, "a run folder copied while it runs", f"{_LIVE}::test_a_copy_of_a_live_run_is_a_run_of_its_own"),
    _case(63, "a run folder moved while it runs", f"{_LIVE}::test_a_live_run_whose_folder_is_moved"),
    _case(64, "records edited to nonsense field by field",
          "runs/test_damaged_files.py::test_a_run_with_any_field_turned_to_nonsense",
          "runs/test_damaged_files.py::test_a_run_with_a_file_that_is_not_a_record",
          "hostile/test_records.py::test_a_journal_turned_to_nonsense_line_by_line"),
    _case(65, "a dataset folder that changes while it is read, or while a run trains on it",
          f"{_FOLDER}::test_images_that_vanish_or_change_while_a_folder_is_read",
          f"{_FOLDER}::test_a_folder_that_is_deleted_while_a_run_trains_on_it"),
    _case(66, "50,000 tiny files, 10,000 in one class", f"{_FOLDER}::test_50_000_files_are_listed_in_one_pass"),
    _case(67, "300 classes", f"{_FOLDER}::test_300_classes",
          "ui/classes/test_classes_pane.py::test_hundreds_of_classes_scroll"),
    _case(68, "names that differ only by case", f"{_FOLDER}::test_names_that_differ_only_by_case_stay_apart"),
    _case(69, "the same image in two classes", f"{_FOLDER}::test_the_same_image_in_two_classes_is_loaded"),
    _case(70, "a paste of 10 kB into a row of the form", f"{_APP}::test_ten_kilobytes_pasted_into_a_row",
          "ui/base/test_escape_parser.py::test_pasted_text_is_no_keys"),
    _case(71, "50 resizes with every dialog open", f"{_APP}::test_fifty_resizes_with_dialogs_open"),
    _case(72, "clicks everywhere", f"{_APP}::test_clicks_everywhere"),
    _case(73, "SIGSTOP on the worker", f"{_LIVE}::test_a_worker_that_is_suspended_by_sigstop"),
    _case(74, "a log of 1 GB", f"{_LARGE}::test_a_log_of_a_gigabyte_is_read_from_its_end"),
    _case(75, "metrics of 10⁶ rows", f"{_LARGE}::test_the_first_view_of_a_million_rows_reads_a_part_of_them"),
    _case(76, "2,000 runs", f"{_LARGE}::test_two_thousand_runs_are_listed_from_the_index"),
    _case(77, "python -O", _HOME),
    _case(78, "a PYTHONPATH with text.py and io.py", _HOME),
    _case(79, "umask 000", _HOME),
    _case(80, "ulimit -n 64", _HOME),
    _case(81, "ulimit -v", f"{_SURROUNDINGS}::test_a_memory_limit_below_torch_is_one_line"),
    _case(82, "SIGHUP to a waiting command", f"{_LIVE}::test_a_hangup_of_a_waiting_command_leaves_its_run"),
    _case(83, "output into a closed pipe", f"{_SURROUNDINGS}::test_output_into_a_closed_pipe_is_no_error"),
    _case(84, "output that can't be written, or is closed",
          f"{_SURROUNDINGS}::test_output_that_cannot_be_written_is_one_line",
          f"{_SURROUNDINGS}::test_closed_standard_streams"),
    _case(85, "--json with a failing run", f"{_SURROUNDINGS}::test_json_of_a_failing_run"),
    _case(86, "Unicode in --name", f"{_SURROUNDINGS}::test_unicode_in_a_name"),
    _case(87, "a recipe with unknown tables", f"{_SURROUNDINGS}::test_a_recipe_with_unknown_tables"),
    _case(88, "a locale with decimal commas", f"{_SURROUNDINGS}::test_numbers_in_a_locale_with_decimal_commas"),
    _case(89, "a proxy variable set to nonsense", f"{_SURROUNDINGS}::test_a_nonsense_proxy_is_named"),
    _case(90, "no /dev/shm", f"{_SURROUNDINGS}::test_without_shared_memory"),
    _case(91, "a full /tmp", f"{_SURROUNDINGS}::test_a_full_temporary_folder"),
    _case(92, "a HOME that does not exist", _HOME, f"{_SURROUNDINGS}::test_a_user_without_a_home"),
    _case(93, "a current folder that was deleted", f"{_SURROUNDINGS}::test_a_deleted_current_folder"),
    _case(94, "any file that is read, damaged by chance", "fuzz/test_fuzz.py::test_damaged_files_are_read_or_refused",
          "fuzz/test_fuzz.py::test_files_that_once_caused_a_fault"),
)  # fmt: skip
