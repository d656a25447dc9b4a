//! The names of objects.

use super::super::{RecordId, directory};

/// Returns the name of a blob below the prefix of the bucket.
pub(super) fn of_blob(id: RecordId, number: u32) -> String {
    format!("{:02x}/{id}-{number}", id.0[0])
}

/// Returns the package to which a blob of this name belongs, and its number there.
pub(super) fn owner(name: &str) -> Option<(RecordId, u32)> {
    let (_, file) = name.split_once('/')?;
    let (id, number) = directory::owner(file)?;
    (of_blob(id, number) == name).then_some((id, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_that_a_blob_has_is_taken_for_one() {
        let id = RecordId([0xab; 16]);
        let name = of_blob(id, 12);
        assert_eq!(name, format!("ab/{}-12", "ab".repeat(16)));
        assert_eq!(owner(&name), Some((id, 12)));
        let file = &name[3..];
        let wrong = [
            file.to_owned(),
            format!("ac/{file}"),
            format!("ab/{file}0000000000"),
            name.replace("-12", "-012"),
            name.replace("-12", ""),
            name.to_uppercase(),
            "probe-0123".to_owned(),
        ];
        for name in wrong {
            assert_eq!(owner(&name), None, "{name}");
        }
    }
}
