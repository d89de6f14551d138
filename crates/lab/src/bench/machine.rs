//! On what it was measured: a number without its machine means nothing.

use std::fs;

/// Cores, memory, system, and how busy it was at this moment, in one line.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory_gib = memory_kib(&read("/proc/meminfo")).unwrap_or_default() as f64 / 1_048_576.0;
    let (kernel, release) = (read("/proc/sys/kernel/osrelease"), read("/etc/os-release"));
    let system = system(&release).unwrap_or("Linux");
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    let (processor, kernel) = (read("/proc/cpuinfo"), kernel.trim());
    let processor = model(&processor).unwrap_or(std::env::consts::ARCH);
    format!("{cores} cores ({processor}), {memory_gib:.0} GiB, {system}, Linux {kernel}, load average {load}")
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn system(release: &str) -> Option<&str> {
    release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'))
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read() {
        assert_eq!(memory_kib("MemTotal:       24580000 kB\nMemFree: 1 kB\n"), Some(24_580_000));
        assert_eq!(system("ID=debian\nPRETTY_NAME=\"Debian 12\"\n"), Some("Debian 12"));
        assert_eq!(model("processor\t: 0\nmodel name\t: Some CPU\n"), Some("Some CPU"));
        assert!(describe().contains(" cores "), "{}", describe());
    }
}
